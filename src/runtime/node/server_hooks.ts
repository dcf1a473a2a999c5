/** Listeners of ours among those of a server that somebody else made. */
import type net from "node:net";

// deno-lint-ignore no-explicit-any -- what an emitter calls it with is for each event to say.
type Listener = (...args: any[]) => void;

/** All that we have put on one server, which can be taken off it again. */
export class ServerHooks {
  readonly #server: net.Server;
  readonly #release: (() => void)[] = [];
  readonly #places: Map<string | symbol, FrontPlace> = new Map();

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
   * that calls those it found, so a listener may be called twice for the same.
   */
  inFrontOfOthers(event: string, listener: Listener): void {
    if (this.#places.size === 0) this.#watch();
    const place = new FrontPlace(this.#server, event, listener);
    this.#places.set(event, place);
    this.#release.push(() => place.leave());
    place.settle();
  }

  #watch(): void {
    // Both events come while the listeners are being changed.
    const onChange = (event: string | symbol) => {
      const place = this.#places.get(event);
      if (place?.isChanging === false) queueMicrotask(() => place.settle());
    };
    this.on("newListener", onChange);
    this.on("removeListener", onChange);
  }

  /** Takes all of them off. */
  release(): void {
    for (const release of this.#release.splice(0)) release();
  }
}

/** The place of one listener in front of the others of its event. */
class FrontPlace {
  /** Whether the change that is being announced is one of ours. */
  isChanging = false;
  readonly #server: net.Server;
  readonly #event: string;
  readonly #listener: Listener;
  /** What is on the list for ours: there are those who wrap each listener that is added. */
  #listed: unknown;
  /** Who else was there when ours was put in front. */
  #others: unknown[] = [];
  #isLeft = false;

  constructor(server: net.Server, event: string, listener: Listener) {
    this.#server = server;
    this.#event = event;
    this.#listener = listener;
  }

  settle(): void {
    const listeners: unknown[] = this.#server.listeners(this.#event);
    const others = listeners.filter((one) => one !== this.#listed);
    if (this.#isLeft || this.#isSettled(listeners, others)) return;
    this.#others = others;
    this.#change(others.length > 0);
  }

  /** Somebody else may insist on the front as well: then it is theirs until others come. */
  #isSettled(listeners: unknown[], others: unknown[]): boolean {
    if (!listeners.includes(this.#listed)) return others.length === 0;
    if (others.length === 0) return false;
    return listeners[0] === this.#listed || isSame(others, this.#others);
  }

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
