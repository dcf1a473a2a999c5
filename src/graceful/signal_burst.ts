/** The length of a tick in ms. */
const TICK = 50;
/**
 * The number of ticks for which signals count as copies: 500 ms. Measured from the first copy to the last on an idle
 * machine: `deno task`, `bun run`, `node --watch`, `tsx watch` and `deno run --watch` at most 1 ms, nodemon 31 ms,
 * concurrently 33 ms. The runners are processes of their own, which a busy machine delays.
 */
export const TICKS = 10;

/**
 * The time after an ending signal in which further signals count as copies of it. A runner sends one end as several
 * signals: the terminal and the runner send a SIGINT each, or a SIGINT and a SIGTERM.
 *
 * The time is counted in turns of the event loop, not on a clock: copies that arrived while the loop was busy are
 * delivered when it turns again.
 */
export class SignalBurst {
  readonly #ticks: number;
  #ticksLeft = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** A burst that lasts for so many ticks. */
  constructor(ticks: number = TICKS) {
    this.#ticks = ticks;
  }

  get isOn(): boolean {
    return this.#ticksLeft > 0;
  }

  /** Starts the time in which signals count as copies, or starts it again. */
  begin(): void {
    this.#ticksLeft = this.#ticks;
    this.#timer ??= setInterval(() => {
      this.#ticksLeft--;
      if (!this.isOn) this.end();
    }, TICK);
    this.#timer.unref();
  }

  end(): void {
    this.#ticksLeft = 0;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
