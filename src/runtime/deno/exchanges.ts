import type { Exchange } from "./exchange.ts";
import { lastOf } from "./last_response.ts";
import { isUnread } from "./upload.ts";

/** The requests of one connection: {@linkcode Http1Exchanges}, or {@linkcode Http2Streams}. */
export interface Exchanges {
  /** Whether the last response of the connection has been given. */
  readonly isClosing: boolean;
  /** Whether a request is in flight, as far as the runtime tells. */
  readonly isActive: boolean;
  /** The oldest request in flight; with HTTP/1, the newest one, also when it is over. */
  readonly oldest: Exchange | undefined;
  begin(exchange: Exchange): void;
  /** To be called with each response that is not the last one. */
  answered(): void;
  /**
   * Makes a response the last one of its connection, and returns what is to be sent. Calls `end` when the
   * response has been delivered, with whether an upload was left unread.
   */
  last(response: Response, end: (isUnread: boolean) => void): Response;
  /** Has a function called when a request in flight is over. */
  startDrain(onChange: () => void): void;
}

/** The requests of a connection with HTTP/1: one is in flight at a time. */
export class Http1Exchanges implements Exchanges {
  isClosing = false;
  #newest: Exchange | undefined;
  /** The function to call when a request in flight is over; undefined until the drain starts. */
  #onChange: (() => void) | undefined;
  /** The newest request whose end is going to be announced. */
  #followed: Exchange | undefined;

  get isActive(): boolean {
    if (this.#newest === undefined) return false;
    const isActive = this.isClosing || this.#newest.isInFlight;
    if (isActive) this.#follow(this.#newest);
    return isActive;
  }

  get oldest(): Exchange | undefined {
    return this.#newest;
  }

  begin(exchange: Exchange): void {
    this.#newest = exchange;
  }

  answered(): void {
    this.#newest?.look();
  }

  last(response: Response, end: (isUnread: boolean) => void): Response {
    if (this.#newest === undefined) return response;
    this.isClosing = true;
    const { request, claimed, native } = this.#newest;
    const isLeft = isUnread(request, claimed);
    const onDelivered = () => end(isLeft);
    // Deno does not close a connection because a response says so.
    native.completed.then(onDelivered, onDelivered);
    return lastOf(request, response);
  }

  /**
   * Leaves it to the poll to find out whether a request is in flight: that takes some µs, and there can be
   * tens of thousands of connections.
   */
  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  #follow(exchange: Exchange): void {
    if (this.#onChange === undefined || this.#followed === exchange) return;
    this.#followed = exchange;
    exchange.native.completed.then(this.#onChange, this.#onChange);
  }
}

/** The requests of a connection with HTTP/2, which ends in another way than by its last response. */
export class Http2Streams implements Exchanges {
  readonly isClosing = false;
  readonly #open = new Set<Exchange>();
  readonly #onEnd: () => void;

  /** `onEnd` is called when a request is over. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get isActive(): boolean {
    return this.#open.size > 0;
  }

  get oldest(): Exchange | undefined {
    const [oldest] = this.#open;
    return oldest;
  }

  begin(exchange: Exchange): void {
    this.#open.add(exchange);
    const end = () => {
      this.#open.delete(exchange);
      this.#onEnd();
    };
    exchange.native.completed.then(end, end);
  }

  answered(): void {}

  last(response: Response): Response {
    return response;
  }

  /** Does nothing: each request is followed anyway. */
  startDrain(): void {}
}
