/** A signal that counts its listeners, to see whether all were taken away. */
export class CountedSignal {
  readonly #controller = new AbortController();
  #listeners = 0;

  constructor() {
    const { signal } = this;
    const { addEventListener, removeEventListener } = signal;
    // The casts: overloads, which pass on what they get.
    signal.addEventListener = ((...args: Parameters<typeof addEventListener>) => {
      this.#listeners++;
      addEventListener.apply(signal, args);
    }) as typeof addEventListener;
    signal.removeEventListener = ((...args: Parameters<typeof removeEventListener>) => {
      this.#listeners--;
      removeEventListener.apply(signal, args);
    }) as typeof removeEventListener;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The number of listeners that were added and not taken away. */
  get listeners(): number {
    return this.#listeners;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }
}
