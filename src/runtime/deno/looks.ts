/** The least number of ms between two looks at many connections. */
const INTERVAL = 5;
/** The least pause between two looks, as a multiple of the time that a look takes. */
const SHARE = 20;
/** The number of looks at connections that are ending in as many turns of the event loop. */
const QUICK_LOOKS = 20;
/** The longest time in ms of a look that is soon repeated: with many connections each look takes longer. */
const QUICK_LOOK = 0.2;

/** The functions that {@linkcode Looks} calls. */
export interface LookEvents<Conn> {
  /** Returns the connections that are known. */
  all(): readonly Conn[];
  /** Removes a connection if it is gone. */
  removeIfGone(conn: Conn): void;
  /** Has the drain look at a connection. */
  changed(conn: Conn): void;
}

/**
 * The looks at connections of which nothing tells when they have closed, or have become idle. They take less than 5 % of
 * the time.
 */
export class Looks<Conn> {
  readonly #events: LookEvents<Conn>;
  readonly #ending = new Set<Conn>();
  readonly #toLookAt = new Set<Conn>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #isLooking = false;
  #nextLook = Infinity;
  #isOver = false;

  constructor(events: LookEvents<Conn>) {
    this.#events = events;
  }

  /** Looks in the next turns of the event loop whether a connection has closed. */
  watchEnd(conn: Conn): void {
    this.#ending.add(conn);
    if (this.#isLooking) return;
    this.#isLooking = true;
    let looks = 0;
    const look = () => {
      const took = duration(() => {
        for (const conn of this.#ending) this.#events.removeIfGone(conn);
      });
      this.#isLooking = this.#ending.size > 0 && !this.#isOver;
      if (!this.#isLooking) return;
      looks++;
      if (looks < QUICK_LOOKS && took < QUICK_LOOK) turnOfLoop().then(look);
      else this.#after(pauseAfter(took), look);
    };
    turnOfLoop().then(look);
  }

  /** Stops watching a connection. */
  forget(conn: Conn): void {
    this.#ending.delete(conn);
    this.#toLookAt.delete(conn);
  }

  /** Looks from now on for connections whose clients have closed them. */
  watchAll(): void {
    this.repeat(() => {
      for (const conn of this.#events.all()) this.#events.removeIfGone(conn);
      return true;
    });
  }

  /** Calls a function, which can take long, for as long as it returns true. */
  repeat(run: () => boolean, pause: number = INTERVAL): void {
    this.#after(pause, () => {
      let goesOn = false;
      const took = duration(() => goesOn = run());
      if (goesOn) this.repeat(run, pauseAfter(took));
    });
  }

  /** Has the drain look at a connection again after a number of ms, or before. One look serves many connections. */
  lookAgain(conn: Conn, pause: number): void {
    this.#toLookAt.add(conn);
    const due = performance.now() + pause;
    if (due >= this.#nextLook) return;
    this.#nextLook = due;
    this.#after(pause, () => {
      // Another look has come before.
      if (this.#nextLook !== due) return;
      this.#nextLook = Infinity;
      const conns = [...this.#toLookAt];
      this.#toLookAt.clear();
      for (const conn of conns) this.#events.changed(conn);
    });
  }

  /** Stops for good. */
  stop(): void {
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #after(pause: number, run: () => void): void {
    if (this.#isOver) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, pause);
    this.#timers.add(timer);
  }
}

/** Returns how many ms a function takes. */
function duration(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

function pauseAfter(took: number): number {
  return Math.max(INTERVAL, SHARE * took);
}

const NOTHING = new Uint8Array();

/**
 * Resolves after a turn of the event loop in which Deno reads and writes. The shortest timer of Deno takes 2 ms, and an
 * immediate comes without such a turn.
 */
function turnOfLoop(): Promise<unknown> {
  return crypto.subtle.digest("SHA-1", NOTHING);
}
