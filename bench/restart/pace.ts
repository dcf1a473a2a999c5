import { setTimeout as wait } from "node:timers/promises";

/**
 * The pace of one client: times at a fixed interval, so that what it asks for does not depend on how
 * long the answers take, as long as they take less than that. A client that is late goes on at once
 * and does not make up for what it has missed.
 */
export class Pace {
  readonly #interval: number;
  #next: number;

  /** Without an interval, all times are now. */
  constructor(interval: number = 0) {
    this.#interval = interval;
    // Clients that start together do not ask together.
    this.#next = performance.now() + Math.random() * interval;
  }

  /** Resolves at the next time. */
  async next(): Promise<void> {
    if (this.#interval === 0) return;
    const early = this.#next - performance.now();
    if (early > 0) await wait(early);
    this.#next = Math.max(this.#next + this.#interval, performance.now());
  }
}
