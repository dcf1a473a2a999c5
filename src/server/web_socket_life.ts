/** The time from the upgrade of a request to the end of the WebSocket. It does not keep the request in memory. */
export class WebSocketLife {
  #listeners: (() => void)[] | undefined;
  #isOver = false;

  /** Calls a function at the end, or now if that has come. */
  onEnd(listener: () => void): void {
    if (this.#isOver) listener();
    else (this.#listeners ??= []).push(listener);
  }

  end(): void {
    this.#isOver = true;
    for (const listener of this.#listeners ?? []) listener();
    this.#listeners = undefined;
  }
}
