import type { Teller } from "./events.ts";
import { notify } from "./notify.ts";

/** In ms: what a phase may take beyond its deadline before the service manager steps in. */
const MARGIN = 5_000;

/** Tells the service manager that this process stops, and how long it has to wait for that. */
export class StopNotice {
  readonly #teller: Teller;

  constructor(teller: Teller) {
    this.#teller = teller;
  }

  /** The end has begun: nothing is overdue for so many ms. */
  stopping(ms: number): void {
    this.#send({ STOPPING: 1, EXTEND_TIMEOUT_USEC: withMargin(ms) });
  }

  /** The servers are closed, and the rest takes so many ms at most. */
  cleaningUp(ms: number): void {
    this.#send({ EXTEND_TIMEOUT_USEC: withMargin(ms) });
  }

  /** Not waited for: the end is in a hurry. */
  #send(state: Record<string, number>): void {
    notify(state).catch((error: unknown) => this.#teller.failed("telling systemd", error));
  }
}

function withMargin(ms: number): number {
  return Math.ceil(ms + MARGIN) * 1_000;
}
