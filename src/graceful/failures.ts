import type { EventSink } from "./events.ts";

/** The failures at the end of a process, which stop nothing. */
export class Failures {
  readonly #teller: EventSink;
  readonly #errors: unknown[] = [];

  constructor(teller: EventSink) {
    this.#teller = teller;
  }

  /** Returns the errors so far. */
  get errors(): readonly unknown[] {
    return Object.freeze([...this.#errors]);
  }

  /** Reports an error once: closing by force fails again for a listener that could not be closed. */
  add(what: string, error: unknown): void {
    if (this.#errors.includes(error)) return;
    this.#errors.push(error);
    this.#teller.failed(what, error);
  }
}
