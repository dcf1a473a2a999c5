import type { Driver } from "./driver.ts";
import type { ShutdownOptions } from "../options/shutdown.ts";

const FIRST_POLL = 1;
const LONGEST_POLL = 500;
const JITTER = 0.1;

/** The result of the drain of one call of `shutdown`. */
export interface DrainResult {
  readonly drained: boolean;
  readonly polls: number;
}

/**
 * The idle poll and the deadline: closes idle connections until none is left to wait for, or until
 * the context is done.
 *
 * This is the loop of Go's `Shutdown`, with one thing more: it also looks when `changes` says that
 * a connection has become idle or has closed, and so ends with the last of them.
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
    // Not every engine tells of every end: when the context is done, it is looked for once more.
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

/** Returns Go's poll intervals: 1 ms, doubled up to 500 ms, each with up to 10 % of random jitter. */
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

/** Wakes everyone who waits for a change of the connections. */
export class Changes {
  #next = Promise.withResolvers<void>();

  /** Resolves at the next change from here. */
  next(): Promise<void> {
    return this.#next.promise;
  }

  announce(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }
}
