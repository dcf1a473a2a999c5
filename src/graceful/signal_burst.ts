/** The length of a tick in ms. */
const TICK = 50;
/**
 * The number of ticks for which signals count as copies: 500 ms. Measured from the first copy to the last on an idle
 * machine: `deno task`, `bun run`, `node --watch`, `tsx watch` and `deno run --watch` at most 1 ms, nodemon 31 ms,
 * concurrently 33 ms. The runners are separate processes, which may be delayed on a busy machine.
 */
export const TICKS = 10;

/**
 * The time after a signal that starts the end in which further signals count as copies of it. One Ctrl-C can reach
 * a process several times: the terminal and the runner each send a SIGINT, or the runner sends a SIGTERM.
 *
 * The time is counted in turns of the event loop, not on a clock: copies that arrived while the loop was busy are
 * delivered when it turns again.
 */
export class SignalBurst {
  readonly #ticks: number;
  #ticksLeft = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Creates a burst that lasts for the given number of ticks. */
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
