import type { Driver } from "./driver.ts";
import type { ShutdownOptions } from "../options/shutdown.ts";

const FIRST_POLL = 1;
const LONGEST_POLL = 500;
const JITTER = 0.1;

/** The result of the drain for one call of `shutdown`. */
export interface DrainResult {
  readonly drained: boolean;
  readonly polls: number;
}

/**
 * Closes idle connections until no connection is left to wait for, or until `context` aborts.
 *
 * This is the loop of Go's `Shutdown` with one addition: it also polls when `changes` announces that a
 * connection has become idle or has closed, and so ends as soon as the last connection does.
 */
export async function drain(
  server: Pick<Driver, "closeIdleConns">,
  context: AbortSignal,
  changes: Changes,
  { pollInterval, idleGrace = 0, hijacked }: ShutdownOptions,
  clock: () => number = () => performance.now(),
): Promise<DrainResult> {
  const start = clock();
  const ignoreHijacked = hijacked === "ignore";
  const interval = pollIntervals(pollInterval);
  for (let polls = 1;; polls++) {
    // Not every engine announces every end of a connection, so there is a last poll after the abort.
    const isLast = context.aborted;
    const change = changes.next();
    const now = clock();
    const graceLeft = Math.max(0, idleGrace - (now - start));
    const drained = server.closeIdleConns(now, { spareIdle: graceLeft > 0, ignoreHijacked });
    if (drained || isLast) return { drained, polls };
    const pause = graceLeft > 0 ? Math.min(interval(), graceLeft) : interval();
    await firstOf(change, pause, context);
  }
}

/**
 * Returns a function that returns the next poll interval: `fixed`, or else Go's intervals, from 1 ms
 * doubled up to 500 ms, each with up to 10 % of random jitter.
 */
function pollIntervals(fixed: number | undefined): () => number {
  if (fixed !== undefined) return () => fixed;
  let base = FIRST_POLL;
  return () => {
    const interval = base + Math.random() * base * JITTER;
    base = Math.min(base * 2, LONGEST_POLL);
    return interval;
  };
}

function firstOf(change: Promise<void>, pause: number, context: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      context.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, pause);
    context.addEventListener("abort", done);
    if (context.aborted) done();
    change.then(done);
  });
}

/** The changes of a server's connections, for which several callers can wait. */
export class Changes {
  #next = Promise.withResolvers<void>();

  /** Returns a promise that resolves at the next change. */
  next(): Promise<void> {
    return this.#next.promise;
  }

  announce(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }
}
