import type { Exchange } from "./exchange.ts";
import { lastOf } from "./last_response.ts";
import { isUnread } from "./upload.ts";

/** The requests of one connection, which are {@linkcode Http1Exchanges} or {@linkcode Http2Streams}. */
export interface Exchanges {
  /** Whether the last response of the connection has been passed to `last`. Always false with HTTP/2. */
  readonly isClosing: boolean;
  /** Whether a request is in flight, as far as Deno shows. */
  readonly isActive: boolean;
  /** The oldest request in flight. With HTTP/1, the newest request, even if it is over. */
  readonly oldest: Exchange | undefined;
  begin(exchange: Exchange): void;
  /** Records that the newest request is answered, with a response that does not end the connection. */
  answered(): void;
  /**
   * Makes a response the last response of its connection, and returns the response to send. When that
   * response has been delivered, calls `end` with whether the upload of the request was left unread. With
   * HTTP/2, returns the response unchanged and does not call `end`.
   */
  last(response: Response, end: (isUnread: boolean) => void): Response;
  /** Starts the drain: `onChange` is called when a request in flight is over. */
  startDrain(onChange: () => void): void;
}

/** The requests of an HTTP/1 connection, of which at most one is in flight at a time. */
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
    this.#newest?.recordUnread();
  }

  last(response: Response, end: (isUnread: boolean) => void): Response {
    if (this.#newest === undefined) return response;
    this.isClosing = true;
    const { request, claimed, native } = this.#newest;
    const isLeftUnread = isUnread(request, claimed);
    const onDelivered = () => end(isLeftUnread);
    // Deno does not close a connection after a response with `Connection: close`.
    native.completed.then(onDelivered, onDelivered);
    return lastOf(request, response);
  }

  /**
   * Starts the drain. Whether a request is in flight is left to the poll, because finding out takes some
   * µs and there can be tens of thousands of connections.
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

/** The requests of an HTTP/2 connection, which is ended by GOAWAY and not by a last response. */
export class Http2Streams implements Exchanges {
  readonly isClosing = false;
  readonly #open = new Set<Exchange>();
  readonly #onEnd: () => void;

  /** Creates the record of the streams. `onEnd` is called whenever a request is over. */
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

  /** Does nothing, because the end of each request already calls the function of the constructor. */
  startDrain(): void {}
}
