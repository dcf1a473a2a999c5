import { ofProcess } from "../core/process_state.ts";
import { endOfProcess } from "./end_of_process.ts";
import type { EventSink } from "./events.ts";
import { notify } from "../systemd/notify.ts";

/** The number of ms that a phase may take beyond its deadline before the service manager steps in. */
const MARGIN = 5_000;

/** The time until which nothing is overdue, for all calls of `graceful`. */
const newExtension = () => ({ end: 0 });

/** Tells the service manager that this process stops, and how long it has to wait for that. */
export class StopNotice {
  readonly #teller: EventSink;

  constructor(teller: EventSink) {
    this.#teller = teller;
  }

  /** Says that the end has begun, and takes at most so many ms up to the cleanup. */
  stopping(ms: number): void {
    // While another call of `graceful` serves, a service that is said to stop would be killed.
    const isLast = endOfProcess() !== undefined;
    const state = { EXTEND_TIMEOUT_USEC: extension(ms) };
    this.#send(isLast ? { STOPPING: 1, ...state } : state);
  }

  /** Says that the servers are closed, and that the rest takes at most so many ms. */
  cleaningUp(ms: number): void {
    this.#send({ EXTEND_TIMEOUT_USEC: extension(ms) });
  }

  /** Sends a message without waiting for it: the end is in a hurry. */
  #send(state: Record<string, number>): void {
    notify(state).catch((error: unknown) => this.#teller.failed("telling systemd", error));
  }
}

/** Returns the extended time in µs from now. */
function extension(ms: number): number {
  const now = performance.now();
  const extended = ofProcess(newExtension);
  extended.end = Math.max(extended.end, now + ms + MARGIN);
  return Math.round((extended.end - now) * 1_000);
}
