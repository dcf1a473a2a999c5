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
 * connection has become idle or has closed, and so ends as soon as the last connection does. Such a poll
 * looks only at the connections that have changed, and does not put off the next poll of Go's loop. With
 * `keepsAlive` the pauses keep the process alive.
 */
export async function drain(
  server: Pick<Driver, "closeIdleConns">,
  context: AbortSignal,
  changes: Changes,
  { pollInterval, idleGrace = 0, hijacked }: ShutdownOptions,
  clock: () => number = () => performance.now(),
  keepsAlive = true,
): Promise<DrainResult> {
  const start = clock();
  const ignoreHijacked = hijacked === "ignore";
  const interval = pollIntervals(pollInterval);
  let onlyChanged = false;
  let nextFullPoll = start;
  for (let polls = 1;; polls++) {
    // Not every engine announces every end of a connection, so there is a last poll after the abort.
    const isLast = context.aborted;
    const change = changes.next();
    const now = clock();
    const graceLeft = Math.max(0, idleGrace - (now - start));
    const drained = server.closeIdleConns(now, {
      spareIdle: graceLeft > 0,
      ignoreHijacked,
      onlyChanged,
      atOnce: isLast,
    });
    if (drained || isLast) return { drained, polls };
    const untilFullPoll = onlyChanged ? Math.max(0, nextFullPoll - now) : interval();
    nextFullPoll = now + untilFullPoll;
    // A poll is due at the end of idleGrace. It closes the connections that earlier polls have spared.
    const pause = Math.min(untilFullPoll, graceLeft || Infinity);
    onlyChanged = await changesWithin(pause, change, context, keepsAlive);
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

/** Waits for a change, and returns false if the pause passes or `context` aborts before. */
function changesWithin(
  pause: number,
  change: Promise<void>,
  context: AbortSignal,
  keepsAlive: boolean,
): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (hasChanged: boolean) => {
      clearTimeout(timer);
      context.removeEventListener("abort", onAbort);
      resolve(hasChanged);
    };
    const onAbort = () => end(false);
    const timer = setTimeout(() => end(false), pause);
    if (!keepsAlive) timer.unref();
    context.addEventListener("abort", onAbort);
    if (context.aborted) onAbort();
    change.then(() => end(true));
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
