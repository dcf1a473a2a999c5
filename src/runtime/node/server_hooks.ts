/** Event listeners that this package adds to a server that was created outside it. */
import type net from "node:net";

// deno-lint-ignore no-explicit-any -- the arguments differ from event to event.
type Listener = (...args: any[]) => void;

/** The event listeners that this package has added to a server. They can be removed together. */
export class ServerHooks {
  readonly #server: net.Server;
  readonly #release: (() => void)[] = [];
  readonly #places: Map<string | symbol, FrontPlace> = new Map();

  constructor(server: net.Server) {
    this.#server = server;
  }

  /** Adds a listener in front of the existing listeners of an event. */
  on(event: string, listener: Listener): void {
    this.#server.prependListener(event, listener);
    this.#release.push(() => this.#server.off(event, listener));
  }

  /**
   * Keeps a listener in front of all other listeners of an event, including listeners that are added later.
   * The listener is present only while the event has other listeners, because a server handles an event
   * without listeners itself. Some libraries replace all listeners with a single listener that calls the
   * replaced ones, so a listener may be called twice for the same event.
   */
  inFrontOfOthers(event: string, listener: Listener): void {
    if (this.#places.size === 0) this.#watch();
    const place = new FrontPlace(this.#server, event, listener);
    this.#places.set(event, place);
    this.#release.push(() => place.leave());
    place.settle();
  }

  #watch(): void {
    // Both events are emitted during the change, so react in a microtask after it.
    const onChange = (event: string | symbol) => {
      const place = this.#places.get(event);
      if (place?.isChanging === false) queueMicrotask(() => place.settle());
    };
    this.on("newListener", onChange);
    this.on("removeListener", onChange);
  }

  /** Removes all listeners that this object has added. */
  release(): void {
    for (const release of this.#release.splice(0)) release();
  }
}

/** The place of a listener in front of the other listeners of its event. */
class FrontPlace {
  /**
   * Whether this object is changing the listeners right now, so that "newListener" and "removeListener" are
   * its own.
   */
  isChanging = false;
  readonly #server: net.Server;
  readonly #event: string;
  readonly #listener: Listener;
  /**
   * The function that the server lists for our listener. It can be a wrapper, as some libraries wrap each
   * listener.
   */
  #listed: unknown;
  /** The other listeners of the event at the time when our listener was put in front. */
  #others: unknown[] = [];
  /** Whether our listener has been removed for good. */
  #isLeft = false;

  constructor(server: net.Server, event: string, listener: Listener) {
    this.#server = server;
    this.#event = event;
    this.#listener = listener;
  }

  /** Puts our listener in front if the event has other listeners, and removes it otherwise. */
  settle(): void {
    const listeners: unknown[] = this.#server.listeners(this.#event);
    const others = listeners.filter((one) => one !== this.#listed);
    if (this.#isLeft || this.#isSettled(listeners, others)) return;
    this.#others = others;
    this.#change(others.length > 0);
  }

  /**
   * Returns whether our listener can stay where it is. If another library keeps its own listener in front
   * too, ours stays behind that listener until the other listeners change.
   */
  #isSettled(listeners: unknown[], others: unknown[]): boolean {
    if (!listeners.includes(this.#listed)) return others.length === 0;
    if (others.length === 0) return false;
    return listeners[0] === this.#listed || isSame(others, this.#others);
  }

  /** Removes our listener for good. */
  leave(): void {
    this.#isLeft = true;
    this.#change(false);
  }

  #change(isWanted: boolean): void {
    this.isChanging = true;
    this.#server.off(this.#event, this.#listener);
    this.#listed = undefined;
    if (isWanted) {
      this.#server.prependListener(this.#event, this.#listener);
      [this.#listed] = this.#server.listeners(this.#event);
    }
    this.isChanging = false;
  }
}

function isSame(some: unknown[], others: unknown[]): boolean {
  return some.length === others.length && some.every((one) => others.includes(one));
}
