import type { EventSink } from "./events.ts";

/** The failures at the end of a process, which stop nothing. */
export class Failures {
  readonly #events: EventSink;
  readonly #errors: unknown[] = [];

  constructor(events: EventSink) {
    this.#events = events;
  }

  /** Returns the errors so far. */
  get errors(): readonly unknown[] {
    return Object.freeze([...this.#errors]);
  }

  /**
   * Reports an error, unless it was already reported: a close by force fails again with the error of a listener that
   * could not be closed.
   */
  add(what: string, error: unknown): void {
    if (this.#errors.includes(error)) return;
    this.#errors.push(error);
    this.#events.failed(what, error);
  }
}
