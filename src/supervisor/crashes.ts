/** The shortest and the longest pause before a worker is started again, in milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
/** The number of milliseconds after which a worker counts as steady: the next pause is the shortest again. */
const STEADY = 10_000;
/** The number of crashes in a row, each soon after the start, that make a crash loop. */
const LOOP = 5;

/** The crashes of the workers that have had one place, one after the other. */
export class Crashes {
  readonly #minUptime: number;
  #inARow = 0;
  #early = 0;

  /** A worker that has not been ready for `minUptime` ms when it ends has ended early. */
  constructor(minUptime: number) {
    this.#minUptime = minUptime;
  }

  /** Records the end of a worker that was ready for `uptime` ms; undefined if it never was. */
  add(uptime: number | undefined): void {
    const isEarly = uptime === undefined || uptime < this.#minUptime;
    this.#early = isEarly ? this.#early + 1 : 0;
    this.#inARow = uptime !== undefined && uptime >= STEADY ? 1 : this.#inARow + 1;
  }

  /** Whether to give up. */
  get isLoop(): boolean {
    return this.#early >= LOOP;
  }

  /** The number of milliseconds before the next start: each time twice as many. */
  get pause(): number {
    return Math.min(FIRST_PAUSE * 2 ** (this.#inARow - 1), LONGEST_PAUSE);
  }
}
