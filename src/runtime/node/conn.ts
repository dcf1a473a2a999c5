import type http2 from "node:http2";
import type net from "node:net";
import type { Addr } from "../../core/addr.ts";
import { type ConnState, inFlight, pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { ServeSettings } from "../../options/serve.ts";
import type { Conn } from "../../server/conn_table.ts";
import { Http1Exchanges } from "./http1_exchanges.ts";
import { Http2Session, type SessionDrain } from "./http2_session.ts";
import { peerAddr } from "./listen.ts";
import type { Exchange, Protocol, Stream } from "./protocol.ts";

/** The key under which a socket has its connection, on the path of every request. */
export const CONN: unique symbol = Symbol("graceful connection");

/** A socket with a connection of ours. */
export type Tracked = net.Socket & { [CONN]?: NodeConn };

/** A session of HTTP/2 with a connection of ours. */
export type Session = http2.Http2Session & { [CONN]?: NodeConn };

/** A connection of a Node server, with HTTP/1 until its client chooses HTTP/2. */
export class NodeConn implements Conn {
  /** In whole ms, as each time here: other numbers would be an object each. */
  readonly acceptedAt: number = Math.trunc(performance.now());
  readonly #accepted: net.Socket;
  readonly #onConnState: ServeSettings["onConnState"];
  readonly #http1: Http1Exchanges;
  #http2: Http2Session | undefined;
  /** With TLS, not the one that was accepted. */
  #socket: net.Socket;
  #remoteAddr: Addr | undefined;
  /** How many handlers have not settled. */
  #handlers = 0;
  #hijacked = false;

  constructor(socket: net.Socket, isSecure: boolean, onConnState: ServeSettings["onConnState"]) {
    this.#socket = this.#accepted = socket;
    this.#onConnState = onConnState;
    const onBegin = onConnState && ((res: Exchange["res"]) => this.#announceExchange(res));
    this.#http1 = new Http1Exchanges(socket, isSecure, onBegin);
    // A socket that is closed does not know its peer any more.
    if (onConnState !== undefined) void this.remoteAddr;
  }

  get remoteAddr(): Addr {
    this.#remoteAddr ??= peerAddr(this.#accepted);
    return this.#remoteAddr;
  }

  /**
   * The socket that requests come over. A request whose body was cancelled does not have it any more, and
   * neither does a response that is over.
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

  request(): RequestInFlight | undefined {
    const oldest = this.#protocol.oldest();
    if (oldest === undefined) return undefined;
    const { method = "", url = "", since } = oldest;
    return { method, path: pathOf(url), since };
  }

  /** To be called when the handshake of TLS is done, with the socket that requests come over. */
  handshaken(socket: net.Socket): void {
    this.#socket = socket;
    this.#http1.handshaken(socket);
  }

  /** To be called when the client has chosen HTTP/2, maybe during a drain. */
  startSession(session: http2.ServerHttp2Session & Session, drain: SessionDrain): void {
    session[CONN] = this;
    this.#http2 = new Http2Session(session, this.#accepted, this.#socket, drain);
  }

  /** To be called when the connection is found with this response in flight. */
  foundActive(res: Exchange["res"]): void {
    this.#http1.foundActive(res, this.acceptedAt);
  }

  /** To be called when the connection is found between two requests. */
  foundIdle(): void {
    this.#http1.foundIdle();
  }

  /** To be called when a stream of the session has begun. */
  beginStream(
    stream: Stream,
    native: http2.ServerHttp2Stream,
    onChange: (() => void) | undefined,
  ): void {
    this.#http2?.beginStream(stream, native, onChange);
  }

  /**
   * To be called when a request has come, which with `isLast` is the last one. With `onChange` the server
   * is draining. Returns false if the request must not be processed.
   */
  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    return this.#protocol.begin(req, res, isLast, onChange);
  }

  /** To be called when the handler has made a response, before that is sent. */
  sending(res: Exchange["res"]): void {
    this.#protocol.sending(res);
  }

  /** Whether the client has gone, and a handler still works for it. */
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
