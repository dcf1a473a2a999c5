import { setImmediate } from "node:timers/promises";
import { attempt } from "../core/attempt.ts";
import { within } from "../core/within.ts";

/**
 * The number of milliseconds that the application has for its last messages, at most half of the time that
 * the shutdown has.
 */
const LAST_WORDS = 5_000;

/** The moment of a drain at which WebSockets are sent their close frame. It comes once. */
export class Farewell {
  readonly #say: () => void;
  readonly #onDone: () => void;
  #isSaid = false;
  #isDone = false;

  /** `say` sends the close frames. `onDone` is called when they are on their way. */
  constructor(say: () => void, onDone: () => void) {
    this.#say = say;
    this.#onDone = onDone;
  }

  /** Whether the close frames are on their way. Before that, no WebSocket's connection may be ended. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /**
   * Sends the close frames when `lastWords` has resolved, or when its time is over. Does nothing if
   * `over` resolves first. `timeout` is the time that the shutdown has. `lastWords` must not reject.
   */
  async sayAfter(
    lastWords: Promise<unknown>,
    over: Promise<void>,
    timeout: number | undefined,
  ): Promise<void> {
    const time = Math.min(LAST_WORDS, (timeout ?? Infinity) / 2);
    await within(Promise.race([lastWords, over]), time);
    await handedOver();
    await this.say();
  }

  async say(): Promise<void> {
    if (this.#isSaid) return;
    this.#isSaid = true;
    attempt(this.#say);
    await handedOver();
    this.#isDone = true;
    this.#onDone();
  }
}

/**
 * Waits until the runtime has passed on the close frames: Deno does so in the turn of the event loop after
 * the next.
 */
async function handedOver(): Promise<void> {
  await setImmediate();
  await setImmediate();
}
