import { ofProcess } from "../core/process_state.ts";
import { endOfProcess } from "./end_of_process.ts";
import type { EventSink } from "./events.ts";
import { notifyUnlessEnding } from "../systemd/notify.ts";

/** The number of ms that a phase may take beyond its deadline before the service manager steps in. */
const MARGIN = 5_000;

/** The time, on the clock of `performance.now()`, until which systemd waits, over all calls of `graceful`. */
const newExtension = () => ({ end: 0 });

/** Tells the service manager that this process stops, and how long the stop may take. */
export class StopNotice {
  readonly #events: EventSink;

  constructor(events: EventSink) {
    this.#events = events;
  }

  /**
   * Tells the service manager that the end has begun, and that everything up to the cleanup takes at most `ms`
   * milliseconds.
   */
  stopping(ms: number): void {
    // After STOPPING=1 the service manager kills the service when its time is up, so no other call of `graceful` may
    // still be serving.
    const isLast = endOfProcess() !== undefined;
    const state = { EXTEND_TIMEOUT_USEC: extension(ms) };
    this.#send(isLast ? { STOPPING: 1, ...state } : state);
  }

  /** Tells the service manager that the servers are closed, and that the rest takes at most `ms` milliseconds. */
  cleaningUp(ms: number): void {
    this.#send({ EXTEND_TIMEOUT_USEC: extension(ms) });
  }

  /** Sends a message, and does not wait for it, so that the end is not held up. */
  #send(state: Record<string, number>): void {
    notifyUnlessEnding(state).catch((error: unknown) =>
      this.#events.failed("telling systemd", error)
    );
  }
}

/** Returns the time in microseconds, from now, by which systemd extends its wait. */
function extension(ms: number): number {
  const now = performance.now();
  const extended = ofProcess(newExtension);
  extended.end = Math.max(extended.end, now + ms + MARGIN);
  return Math.round((extended.end - now) * 1_000);
}
