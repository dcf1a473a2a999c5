import type { EventSink } from "./events.ts";

/** What has failed at the end of a process, and stops nothing. */
export class Failures {
  readonly #teller: EventSink;
  readonly #errors: unknown[] = [];

  constructor(teller: EventSink) {
    this.#teller = teller;
  }

  /** The errors so far. */
  get errors(): readonly unknown[] {
    return Object.freeze([...this.#errors]);
  }

  /** Reports an error, once: closing by force tells again of a listener that could not be closed. */
  add(what: string, error: unknown): void {
    if (this.#errors.includes(error)) return;
    this.#errors.push(error);
    this.#teller.failed(what, error);
  }
}
