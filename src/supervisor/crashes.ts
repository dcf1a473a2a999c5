/** The shortest pause, in milliseconds, before a worker is started again. */
const FIRST_PAUSE = 100;
/** The longest such pause, in milliseconds. */
const LONGEST_PAUSE = 10_000;
/** The number of milliseconds after which a worker counts as steady: the next pause is the shortest again. */
const STEADY = 10_000;
/** The number of crashes in a row, each soon after the start, that make a crash loop. */
const LOOP = 5;

/** The crashes of the successive workers of one place. */
export class Crashes {
  readonly #minUptime: number;
  #inARow = 0;
  #early = 0;

  /** A crash counts as early if the worker was ready for less than `minUptime` ms. */
  constructor(minUptime: number) {
    this.#minUptime = minUptime;
  }

  /** Records the end of a worker that was ready for `uptime` ms; undefined if it never was. */
  add(uptime: number | undefined): void {
    const isEarly = uptime === undefined || uptime < this.#minUptime;
    this.#early = isEarly ? this.#early + 1 : 0;
    this.#inARow = uptime !== undefined && uptime >= STEADY ? 1 : this.#inARow + 1;
  }

  /** Whether the crashes are a crash loop, so that the supervisor has to give up. */
  get isLoop(): boolean {
    return this.#early >= LOOP;
  }

  /** The number of milliseconds to wait before the next start, which doubles with each crash. */
  get pause(): number {
    return Math.min(FIRST_PAUSE * 2 ** (this.#inARow - 1), LONGEST_PAUSE);
  }
}
