import type { EventSink } from "./events.ts";

/** The failures during the end of a process. A failure does not stop the end. */
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
   * Reports an error, unless it was already reported. A listener that could not be closed fails with the same error
   * again at the forced close.
   */
  add(what: string, error: unknown): void {
    if (this.#errors.includes(error)) return;
    this.#errors.push(error);
    this.#events.failed(what, error);
  }
}
