import { setImmediate } from "node:timers";

/** The time in ms after which the requests of a turn wait for the next turn. */
const LONGEST = 50;

/** The number of requests after which a turn is timed. To time each turn would cost more than it is worth. */
const SAMPLE = 8;

/**
 * Keeps the turns of the event loop short. Bun accepts a connection, calls the handler for its first request and
 * accepts the next connection, until the accept queue is empty. If clients connect again for each request, and the
 * handler keeps the process busy for a millisecond or more, then the queue is never empty: signals, timers and all
 * other connections wait without end, and the process cannot be stopped.
 */
export class ShortTurns {
  #untimed = 0;
  /** When the timed turn began; undefined if no turn is timed. */
  #start: number | undefined;
  /** Resolves in the next turn; undefined if no request waits for that. */
  #next: PromiseWithResolvers<void> | undefined;

  /**
   * Returns undefined if a request can be handled now, and otherwise a promise that resolves when the request can be
   * handled. To be called for each request.
   */
  wait(): Promise<void> | undefined {
    const next = this.#ofNextTurn();
    return next && this.#waitFrom(next);
  }

  async #waitFrom(next: Promise<void> | undefined): Promise<void> {
    while (next !== undefined) {
      await next;
      next = this.#ofNextTurn();
    }
  }

  /** Returns a promise of the next turn if the current one takes too long. */
  #ofNextTurn(): Promise<void> | undefined {
    if (this.#start === undefined) {
      this.#untimed++;
      if (this.#untimed === SAMPLE) this.#timeThisTurn();
      return undefined;
    }
    if (performance.now() - this.#start < LONGEST) return undefined;
    this.#next ??= Promise.withResolvers();
    return this.#next.promise;
  }

  #timeThisTurn(): void {
    this.#untimed = 0;
    this.#start = performance.now();
    setImmediate(() => this.#beginTurn());
  }

  #beginTurn(): void {
    const waiting = this.#next;
    this.#start = this.#next = undefined;
    if (waiting === undefined) return;
    // The requests that waited can make this turn too long as well.
    this.#timeThisTurn();
    waiting.resolve();
  }
}
