import { setImmediate } from "node:timers";
import { FakeTimers } from "../fake_timers.ts";

/** The turns of the event loop after which nothing is on its way: more than the longest chain of them in src/server. */
const TURNS_TO_REST = 8;
/** The turns between two timers that fire one behind the other. */
const TURNS_OF_TIMER = 2;

/**
 * The time of one schedule: timers, `performance.now` and the jitter of pauses are the test's. The turns of the event
 * loop are real, as the runtimes cannot replace what a module imports from `node:timers`; no time passes in them.
 */
export class VirtualTime {
  readonly #timers = new FakeTimers(() => turns(TURNS_OF_TIMER));

  get now(): number {
    return this.#timers.now;
  }

  /** The delays of the timers that are set, in ms. */
  get timers(): number[] {
    return this.#timers.delays;
  }

  /** Puts this time in the place of the runtime's for as long as the function runs. */
  async use(fn: () => Promise<void>): Promise<void> {
    const { now } = performance;
    const { random } = Math;
    performance.now = () => this.now;
    Math.random = () => 0;
    try {
      await this.#timers.use(fn);
    } finally {
      performance.now = now;
      Math.random = random;
    }
  }

  /** Lets one turn of the event loop pass, in which no time passes. */
  async turn(): Promise<void> {
    await turns(1);
  }

  /** Lets everything happen that needs no time. */
  async rest(): Promise<void> {
    await turns(TURNS_TO_REST);
  }

  /** Lets time pass, and then everything happen that needs none. To be called at rest. */
  async pass(ms: number): Promise<void> {
    await this.#timers.pass(ms);
    await this.rest();
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
