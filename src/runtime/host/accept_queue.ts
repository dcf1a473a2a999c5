/**
 * The accept queue of a listener: the connections that the kernel has accepted and the runtime has not.
 * Closing the listener resets them, so they are taken in before.
 */

import process from "node:process";

/** The knowledge that a driver has of the accept queue of its listener. */
export interface AcceptQueue {
  /** Returns how many connections wait in the queue, or undefined if that is not known. */
  waiting(): number | undefined;
  /** Returns how many connections the runtime has accepted so far. */
  accepted(): number;
  /**
   * Has the kernel keep new connections out of the queue while it is emptied: their clients try again
   * later, and find the listener closed instead of being reset. Returns what undoes that, where the
   * socket may be open in another process as well.
   */
  holdBack?(): (() => void) | void;
  /**
   * Takes the last place in the queue, where holding back leaves one. False if another connection was
   * quicker. To be called when nothing waits, and in the turn in which the listener closes.
   */
  takeLastPlace?(): Promise<boolean>;
}

/** A queue of which nothing is known. */
export const UNKNOWN_QUEUE: AcceptQueue = { waiting: () => undefined, accepted: () => 0 };

/** The number of ms for which connections are taken in that come while the queue is emptied. */
const LONGEST = 1_000;
/**
 * The number of turns of the event loop without a connection after which a queue of unknown length is
 * empty.
 */
const QUIET_TURNS = 3;

/**
 * Has the event loop turn until the queue is empty. Resolves in the turn in which it has looked last,
 * so that the caller can close the listener before another connection comes. Never rejects.
 *
 * What waited at the beginning is taken in as long as the runtime goes on accepting; what comes later,
 * for at most {@linkcode LONGEST} ms.
 */
export async function takeInAcceptQueue(queue: AcceptQueue, force: AbortSignal): Promise<void> {
  const letIn = queue.holdBack?.();
  const known = queue.waiting() ?? 0;
  const progress = new Progress(queue.accepted(), known);
  while (!force.aborted) {
    const waiting = queue.waiting();
    if (waiting === undefined && progress.quietTurns >= QUIET_TURNS) break;
    if (waiting === 0 && await (queue.takeLastPlace?.() ?? true)) break;
    if (progress.isTooLong()) break;
    await turnOfLoop();
    progress.turn(queue.accepted());
  }
  letIn?.();
}

/**
 * Resolves when the event loop has turned. On Deno that takes a timer: sixty turns of setImmediate look at
 * no socket.
 */
const turnOfLoop: () => Promise<void> = "deno" in process.versions
  ? () => new Promise((resolve) => setTimeout(resolve, 0))
  : () => new Promise((resolve) => setImmediate(resolve));

/** The progress of emptying the queue. */
class Progress {
  /** The number of turns in a row that have brought no connection. */
  quietTurns = 0;
  readonly #start = performance.now();
  /** The number of accepted connections once those that waited at the beginning are in. */
  readonly #goal: number;
  #accepted: number;
  #lastAccept = this.#start;

  constructor(accepted: number, known: number) {
    this.#accepted = accepted;
    this.#goal = accepted + known;
  }

  turn(accepted: number): void {
    if (accepted === this.#accepted) {
      this.quietTurns++;
      return;
    }
    this.#accepted = accepted;
    this.#lastAccept = performance.now();
    this.quietTurns = 0;
  }

  /**
   * Reports whether the connections that waited at the beginning are in, or none comes any more for long.
   */
  isTooLong(): boolean {
    const since = this.#accepted < this.#goal ? this.#lastAccept : this.#start;
    return performance.now() - since >= LONGEST;
  }
}
