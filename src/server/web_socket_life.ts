/**
 * The time from the upgrade of a request to the end of the WebSocket. This object does not keep the request
 * in memory.
 */
export class WebSocketLife {
  #listeners: (() => void)[] | undefined;
  #isOver = false;

  /** Calls a function when the WebSocket has ended: at once if it already has. */
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
