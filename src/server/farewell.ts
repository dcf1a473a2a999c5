import { attempt } from "../core/attempt.ts";
import { within } from "../core/within.ts";

/**
 * The number of milliseconds that the application has for its last messages, at most half of the time that
 * the shutdown has.
 */
const LAST_WORDS = 5_000;

/** The moment of a drain at which WebSockets are sent the close frame, which comes once. */
export class Farewell {
  readonly #say: () => void;
  #isSaid = false;

  constructor(say: () => void) {
    this.#say = say;
  }

  get isSaid(): boolean {
    return this.#isSaid;
  }

  /**
   * Says farewell when `lastWords` has resolved or was given its time. Does nothing if `over` resolves
   * before. `timeout` is the time that the shutdown has. `lastWords` must not reject.
   */
  async sayAfter(
    lastWords: Promise<unknown>,
    over: Promise<void>,
    timeout: number | undefined,
  ): Promise<void> {
    const time = Math.min(LAST_WORDS, (timeout ?? Infinity) / 2);
    await within(Promise.race([lastWords, over]), time);
    this.say();
  }

  say(): void {
    if (this.#isSaid) return;
    this.#isSaid = true;
    attempt(this.#say);
  }
}
