/** Listeners of ours among those of a server that somebody else made. */
import type net from "node:net";

// deno-lint-ignore no-explicit-any -- what an emitter calls it with is for each event to say.
type Listener = (...args: any[]) => void;

/** They can be taken off again: its owner may go on with the server. */
export class ServerHooks {
  readonly #server: net.Server;
  readonly #release: (() => void)[] = [];

  constructor(server: net.Server) {
    this.#server = server;
  }

  /** Listens to an event, before those who do already. */
  on(event: string, listener: Listener): void {
    this.#server.prependListener(event, listener);
    this.#release.push(() => this.#server.off(event, listener));
  }

  /**
   * Hears of an event before everybody else, whoever comes later, and only beside somebody else: a
   * server answers by itself what nobody listens to. Some replace all listeners by one of theirs
   * that calls those it found, so this one may be called twice for the same.
   */
  inFrontOfOthers(event: string, listener: Listener): void {
    const server = this.#server;
    let isReleased = false;
    const settle = () => {
      const others = server.listeners(event).filter((other) => other !== listener);
      if (!isReleased && server.listeners(event)[0] === listener && others.length > 0) return;
      server.off(event, listener);
      if (!isReleased && others.length > 0) server.prependListener(event, listener);
    };
    // Both events come while the listeners are being changed.
    const onChange = (name: string | symbol, changed: unknown) => {
      if (name === event && changed !== listener) queueMicrotask(settle);
    };
    this.on("newListener", onChange);
    this.on("removeListener", onChange);
    this.#release.push(() => {
      isReleased = true;
      settle();
    });
    settle();
  }

  /** Takes all of them off. */
  release(): void {
    for (const release of this.#release.splice(0)) release();
  }
}
