/** A timer that was set and has neither fired nor been cleared. */
interface Timer {
  readonly run: () => void;
  readonly every: number | undefined;
  readonly delay: number;
  at: number;
}

/**
 * Timers of a clock that a test moves on, in place of the runtime's: `node:test` has such a clock on Node
 * alone. Nothing fires by itself, so a test sees what was set and for how long.
 */
export class FakeTimers {
  /** In ms. */
  now = 0;
  readonly #timers = new Map<object, Timer>();
  readonly #unreferenced = new Set<object>();
  readonly #settle: () => Promise<void>;

  /** `settle` lets everything happen that follows a timer. */
  constructor(settle: () => Promise<void> = settled) {
    this.#settle = settle;
  }

  /** Puts the timers in the place of the runtime's for as long as the function runs. */
  async use(fn: () => void | Promise<void>): Promise<void> {
    const names = ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] as const;
    const before = names.map((name) => globalThis[name]);
    const clear = (timer: object | undefined) => void this.#timers.delete(timer!);
    const fakes = {
      setTimeout: (run: () => void, delay = 0) => this.#set(run, delay, false),
      setInterval: (run: () => void, delay = 0) => this.#set(run, delay, true),
      clearTimeout: clear,
      clearInterval: clear,
    };
    Object.assign(globalThis, fakes);
    try {
      await fn();
    } finally {
      names.forEach((name, index) => Object.assign(globalThis, { [name]: before[index] }));
    }
  }

  /** For how long each of the timers was set, in ms. */
  get delays(): number[] {
    return [...this.#timers.values()].map(({ delay }) => delay);
  }

  /** Whether one of the timers keeps the process alive. */
  get isReferenced(): boolean {
    return [...this.#timers.keys()].some((timer) => !this.#unreferenced.has(timer));
  }

  /** Moves the clock on, and lets everything happen that follows. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (let next; (next = this.#next(end)) !== undefined;) {
      const [handle, timer] = next;
      this.now = Math.max(this.now, timer.at);
      if (timer.every === undefined) this.#timers.delete(handle);
      else timer.at += timer.every;
      timer.run();
      await this.#settle();
    }
    this.now = end;
    await this.#settle();
  }

  /** Moves the clock on while the event loop is busy: an interval that was missed several times fires once. */
  async passBusy(ms: number): Promise<void> {
    this.now += ms;
    for (const [handle, timer] of [...this.#timers]) {
      if (timer.at > this.now) continue;
      if (timer.every === undefined) this.#timers.delete(handle);
      else timer.at = this.now + timer.every;
      timer.run();
    }
    await this.#settle();
  }

  #set(run: () => void, delay: number, repeats: boolean): object {
    const handle = { unref: () => this.#unreferenced.add(handle) };
    const every = repeats ? delay : undefined;
    this.#timers.set(handle, { run, every, delay, at: this.now + delay });
    return handle;
  }

  #next(end: number): [object, Timer] | undefined {
    return [...this.#timers].filter(([, { at }]) => at <= end)
      .sort(([, a], [, b]) => a.at - b.at)[0];
  }
}

/** Lets the promises settle that are about to. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await undefined;
}
