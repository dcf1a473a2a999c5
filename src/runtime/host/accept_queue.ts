/**
 * The accept queue of a listener: the connections that the kernel has accepted and the runtime has not.
 * Closing the listener would reset these connections, so the runtime accepts them first.
 */

import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";

/** The access of a driver to the accept queue of its listener. */
export interface AcceptQueue {
  /** Returns how many connections wait in the queue, or undefined if that is not known. */
  waiting(): number | undefined;
  /** Returns how many connections the runtime has accepted so far. */
  accepted(): number;
  /**
   * Returns whether a handshake with the listener has begun and may still finish, which takes a round trip to the
   * client. Absent if that is not known.
   */
  hasUnfinishedHandshakes?(): boolean;
  /**
   * Makes the kernel keep new connections out of the queue while the queue is emptied: their clients try
   * again later, and are refused by the closed listener instead of being reset. May return a function that
   * lets new connections in again, if the socket may be open in another process as well.
   */
  holdBack?(): (() => void) | void;
  /**
   * Takes the last place in the queue, if {@linkcode AcceptQueue.holdBack} leaves one place. Resolves with
   * false if another connection was quicker. Must be called when no connection waits, and in the turn in
   * which the listener closes.
   */
  takeLastPlace?(): Promise<boolean>;
  /** Lets go of what {@linkcode AcceptQueue.takeLastPlace} needs. Called once the queue is empty or given up. */
  release?(): void;
}

/**
 * Returns how many connections a queue will bring, as far as they are known. Returns undefined if the length of the
 * queue is not known.
 */
export function connectionsToCome(queue: AcceptQueue): number | undefined {
  // A handshake that finishes in between must be found in the queue.
  const unfinished = queue.hasUnfinishedHandshakes?.() === true ? 1 : 0;
  const waiting = queue.waiting();
  return waiting === undefined ? undefined : waiting + unfinished;
}

/** An accept queue of which nothing is known. */
export const UNKNOWN_QUEUE: AcceptQueue = { waiting: () => undefined, accepted: () => 0 };

/**
 * The number of milliseconds after which the queue is given up if it does not become empty, see
 * {@linkcode takeInAcceptQueue}.
 */
const LONGEST = 1_000;
/** The number of ms between two looks at a queue that is empty while handshakes are unfinished. */
const PAUSE = 5;
/**
 * The number of turns of the event loop without a new connection after which a queue of unknown length
 * counts as empty.
 */
const QUIET_TURNS = 3;

/**
 * Lets the event loop turn until the runtime has accepted every connection in the queue, or `force` aborts.
 * Resolves in the turn of the last look at the queue, so that the caller can close the listener before
 * another connection comes. Never rejects.
 *
 * Connections that wait at the beginning are taken in for as long as the runtime keeps accepting; connections
 * that come later, for at most {@linkcode LONGEST} ms.
 */
export async function takeInAcceptQueue(queue: AcceptQueue, force: AbortSignal): Promise<void> {
  const letIn = queue.holdBack?.();
  const known = queue.waiting() ?? 0;
  const progress = new Progress(queue.accepted(), known);
  while (!force.aborted) {
    const isUnfinished = queue.hasUnfinishedHandshakes?.() === true;
    const waiting = queue.waiting();
    if (waiting === undefined && progress.quietTurns >= QUIET_TURNS) break;
    if (waiting === 0 && !isUnfinished && await (queue.takeLastPlace?.() ?? true)) break;
    if (progress.isTooLong()) break;
    await (isUnfinished && !waiting ? sleep(PAUSE) : turnOfLoop());
    progress.turn(queue.accepted(), isUnfinished);
  }
  queue.release?.();
  letIn?.();
}

/**
 * Resolves when the event loop has turned. On Deno that takes a timer: Deno runs sixty `setImmediate`
 * callbacks in a row without polling a socket.
 */
const turnOfLoop: () => Promise<void> = "deno" in process.versions
  ? () => new Promise((resolve) => setTimeout(resolve, 0))
  : () => new Promise((resolve) => setImmediate(resolve));

/** The progress of emptying the queue. */
class Progress {
  /** The number of turns in a row that have brought no connection, while no handshake was unfinished. */
  quietTurns = 0;
  readonly #start = performance.now();
  /** The number of accepted connections at which all connections that waited at the beginning are in. */
  readonly #goal: number;
  #accepted: number;
  #lastAccept = this.#start;

  constructor(accepted: number, known: number) {
    this.#accepted = accepted;
    this.#goal = accepted + known;
  }

  /**
   * Records a turn of the event loop, the number of connections that were accepted so far, and whether handshakes are
   * unfinished.
   */
  turn(accepted: number, isUnfinished: boolean): void {
    if (accepted === this.#accepted) {
      this.quietTurns = isUnfinished ? 0 : this.quietTurns + 1;
      return;
    }
    this.#accepted = accepted;
    this.#lastAccept = performance.now();
    this.quietTurns = 0;
  }

  /**
   * Reports whether {@linkcode LONGEST} ms have passed: since the last accept as long as connections that
   * waited at the beginning are not in, and since the start afterwards.
   */
  isTooLong(): boolean {
    const since = this.#accepted < this.#goal ? this.#lastAccept : this.#start;
    return performance.now() - since >= LONGEST;
  }
}
