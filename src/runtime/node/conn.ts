import type http2 from "node:http2";
import type net from "node:net";
import type { Addr } from "../../core/addr.ts";
import { type ConnState, inFlight, pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import type { ServeSettings } from "../../options/serve.ts";
import type { LimitedConn } from "../../server/expiry.ts";
import { Http1Exchanges } from "./http1_exchanges.ts";
import { Http2Session, type SessionDrain } from "./http2_session.ts";
import { internals } from "./internals.ts";
import { peerAddr } from "./listen.ts";
import type { Exchange, Protocol, Stream } from "./protocol.ts";

/**
 * The key of the property with which a socket refers to its {@linkcode NodeConn}. Every request reads
 * this property.
 */
export const CONN: unique symbol = Symbol("graceful connection");

/** The `readyState` of an open WebSocket. Node's global `WebSocket` would load undici. */
const OPEN = 1;

/** A socket that refers to its {@linkcode NodeConn}. */
export type Tracked = net.Socket & { [CONN]?: NodeConn };

/** An HTTP/2 session that refers to its {@linkcode NodeConn}. */
export type Session = http2.Http2Session & { [CONN]?: NodeConn };

/** A connection of a Node server. The connection speaks HTTP/1 until its client chooses HTTP/2. */
export class NodeConn implements LimitedConn {
  /**
   * The time at which the connection was accepted, in whole milliseconds. Fractional numbers would need a
   * heap object each. The driver for Bun corrects the time of connections that the kernel has withheld.
   */
  acceptedAt: number;
  readonly #accepted: net.Socket;
  readonly #onConnState: ServeSettings["onConnState"];
  readonly #http1: Http1Exchanges;
  #http2: Http2Session | undefined;
  /** The socket that requests come over. With TLS this is not the accepted socket. */
  #socket: net.Socket;
  #remoteAddr: Addr | undefined;
  /** The number of handlers that have not settled. */
  #handlers = 0;
  #hijacked = false;
  requests = 0;

  constructor(
    socket: net.Socket,
    isSecure: boolean,
    onConnState: ServeSettings["onConnState"],
    acceptedAt: number = Math.trunc(performance.now()),
  ) {
    this.acceptedAt = acceptedAt;
    this.#socket = this.#accepted = socket;
    this.#onConnState = onConnState;
    const onBegin = onConnState && ((res: Exchange["res"]) => this.#announceExchange(res));
    this.#http1 = new Http1Exchanges(socket, isSecure, onBegin);
    // A closed socket no longer knows its peer, so read the address now.
    if (onConnState !== undefined) void this.remoteAddr;
  }

  get remoteAddr(): Addr {
    this.#remoteAddr ??= peerAddr(this.#accepted);
    return this.#remoteAddr;
  }

  /**
   * The socket that requests come over. A request with a canceled body and a completed response no longer
   * refer to the socket.
   */
  get socket(): net.Socket {
    return this.#socket;
  }

  get #protocol(): Protocol {
    return this.#http2 ?? this.#http1;
  }

  state(): ConnState {
    if (this.#accepted.destroyed) return this.#handlers > 0 ? "active" : "closed";
    return this.#hijacked ? "hijacked" : this.#protocol.state();
  }

  get isMidHead(): boolean {
    return this.#protocol.isMidHead;
  }

  request(): RequestInFlight | undefined {
    const oldest = this.#protocol.oldest();
    if (oldest === undefined) return undefined;
    const { method = "", url = "", since } = oldest;
    return { method, path: pathOf(url), since };
  }

  /** Records that the TLS handshake is done, and over which socket the requests come. */
  handshaken(socket: net.Socket): void {
    this.#socket = socket;
    this.#http1.handshaken(socket);
  }

  /** Switches the connection to HTTP/2 when the client has chosen it, which can happen while draining. */
  startSession(session: http2.ServerHttp2Session & Session, drain: SessionDrain): void {
    session[CONN] = this;
    this.#http2 = new Http2Session(session, this.#accepted, this.#socket, drain);
  }

  /**
   * Records that the connection was found with this response in flight, the newest one. `since` is the time
   * at which its request arrived.
   */
  foundActive(res: Exchange["res"], since: number, nextHasBegun: boolean): void {
    this.#http1.foundActive(res, since, nextHasBegun);
  }

  /** Records that the connection was found between two requests. */
  foundIdle(): void {
    this.#http1.foundIdle();
  }

  /** Records that a stream of the HTTP/2 session has begun. `onChange` is called when the stream closes. */
  beginStream(
    stream: Stream,
    native: http2.ServerHttp2Stream,
    onChange: (() => void) | undefined,
  ): void {
    this.requests++;
    this.#http2?.beginStream(stream, native, onChange);
  }

  /**
   * Records that a request has arrived. With `isLast` it is the last request of the connection. `onChange`
   * is given while the server is draining. Returns false if the request must not be processed.
   */
  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    this.requests++;
    return this.#protocol.begin(req, res, isLast, onChange);
  }

  /** Must be called when the handler has returned a response, before the response is sent. */
  sending(res: Exchange["res"]): void {
    this.#protocol.sending(res);
  }

  /** Whether the client has disconnected while a handler is still working for it. */
  get isAbandoned(): boolean {
    return this.#accepted.destroyed && this.#handlers > 0;
  }

  startHandler(): void {
    this.#handlers++;
  }

  endHandler(): void {
    this.#handlers--;
  }

  hijack(): void {
    if (this.#hijacked) return;
    this.#hijacked = true;
    this.announce("hijacked");
  }

  startLameDuck(): void {
    this.#protocol.startLameDuck();
  }

  startDrain(onChange: () => void): void {
    this.#protocol.startDrain(onChange);
  }

  startEnding(): void {
    this.#protocol.startEnding();
  }

  /**
   * Starts the closing handshake if the connection is a WebSocket of the package `ws`. A connection of
   * another owner may be in the middle of a frame.
   */
  closeWebSocket({ code, reason }: ClosingHandshake): boolean {
    if (!this.#hijacked) return false;
    const webSocket = internals.webSocketOf(this.#socket);
    if (webSocket?.readyState === OPEN) webSocket.close(code, reason);
    return webSocket !== undefined;
  }

  closeIdle(now: number): void {
    if (this.#protocol.closeIdle(now)) this.destroy();
  }

  destroy(): void {
    this.#http2?.destroy();
    this.#accepted.destroy();
  }

  announce(state: ConnState): void {
    if (this.#onConnState === undefined) return;
    this.#onConnState(state, {
      state,
      age: performance.now() - this.acceptedAt,
      remoteAddr: this.remoteAddr,
      ...inFlight(this.request(), performance.now()),
    });
  }

  #announceExchange(res: Exchange["res"]): void {
    this.announce("active");
    res.once("close", () => {
      if (this.#http1.isNewest(res)) this.announce("idle");
    });
  }
}
