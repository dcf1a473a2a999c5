/** The commands that a server process takes on stdin, a line each, and its answers, a line of JSON each. */

/** The answer to `usage`, and to `memory` after a garbage collection. */
export interface Usage {
  /** User and system time since the start of the process, in µs. */
  readonly cpu: number;
  /** Resident memory, in bytes. */
  readonly rss: number;
}

/** The answer to `drain RUNS BUDGET`: runs of a fresh server each, until the budget in ms is used up. */
export interface Drains {
  /** For each run, the time in ms from the end of the response to the end of the shutdown. */
  readonly latencies: readonly number[];
  /** The number of runs that did not end within a second of the response, until the client closed. */
  readonly late: number;
}

/** The answer to `shutdown`, which ends the main server, and whose gate opens after 300 ms. */
export interface Shutdown {
  /** From the call to the end of the shutdown, in ms. */
  readonly time: number;
  /** User and system time of the shutdown, in µs. */
  readonly cpu: number;
  /** The longest time in ms for which the event loop of the server stood still. */
  readonly stall: number;
  /** From the moment at which the last requests in flight may be answered to the end, in ms; or null. */
  readonly afterResponse: number | null;
}
