import type http from "node:http";
import type http2 from "node:http2";
import type net from "node:net";
import process from "node:process";
import { type ConnState, inFlight, pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { Conn } from "../../server/conn_table.ts";
import type { ServeSettings } from "../../options/serve.ts";
import { internals } from "./internals.ts";
import { LINGER } from "../../server/last_response.ts";
import { sayCloseAtHead, sayCloseInHeldHead } from "./last_response.ts";
import { lingerOver } from "./linger.ts";
import { NodeSession, type SessionDrain, type Stream } from "./http2_session.ts";

/** A request and its response, as node has them. */
export interface Exchange {
  req: http.IncomingMessage | http2.Http2ServerRequest;
  res: http.ServerResponse | http2.Http2ServerResponse;
}

/** From a socket to its connection, on the path of every request. */
export const CONN: unique symbol = Symbol("graceful connection");

/** What has a connection of ours. */
export type Tracked = net.Socket & { [CONN]?: NodeConn };

/** A session of HTTP/2 over one. */
export type Session = http2.Http2Session & { [CONN]?: NodeConn };

/** One connection of a node server. Its state is read off its sockets and its newest exchange. */
export class NodeConn implements Conn {
  /** In whole ms, as each time here: other numbers would be an object each. */
  readonly acceptedAt: number = Math.trunc(performance.now());
  /** The one that requests come over: with TLS not the one that was accepted. */
  socket: net.Socket;
  /** What was read is HTTP. */
  isHandshaken: boolean;
  readonly #accepted: net.Socket;
  readonly #onConnState: ServeSettings["onConnState"];
  /**
   * The newest response, which of a pipeline is the last to end. The socket holds it until that: an idle
   * connection would keep it, and its request, for nothing.
   */
  #response: Held | undefined;
  /** Whether its request has a body, for when nobody holds it any more. */
  #hasBody = false;
  /** When its request came. */
  #since = 0;
  #remoteAddr: Addr | undefined;
  /** `bytesRead` of the socket when the newest request was announced. */
  #headEnd = 0;
  /** A response has said that it is the last one. */
  #closing = false;
  /** Another request has come behind that of the last response. */
  #isFollowed = false;
  /** How many handlers have not settled. */
  #handlers = 0;
  #hijacked = false;
  #isEnding = false;
  /** When it was first found in a drain with an upload that was answered unread. */
  #lingerStart: number | undefined;
  #session: NodeSession | undefined;
  /** It was found between two requests. */
  #isResting = false;

  constructor(socket: net.Socket, isSecure: boolean, onConnState: ServeSettings["onConnState"]) {
    this.isHandshaken = !isSecure;
    this.socket = this.#accepted = socket;
    this.#onConnState = onConnState;
    // Once it is closed it tells no more.
    if (onConnState !== undefined) void this.remoteAddr;
  }

  get remoteAddr(): Addr {
    this.#remoteAddr ??= peerAddr(this.#accepted);
    return this.#remoteAddr;
  }

  state(): ConnState {
    if (this.#accepted.destroyed) return this.#handlers > 0 ? "active" : "closed";
    if (this.#hijacked) return "hijacked";
    if (this.#session !== undefined) return this.#session.state();
    if (this.#response === undefined) {
      if (this.#isResting && !this.#hasReadOn) return "idle";
      return this.isHandshaken && this.#hasReadOn ? "active" : "new";
    }
    const res = this.#response.deref();
    if (this.#closing || res?.writableFinished === false) return "active";
    const req = res?.req ?? internals.newestRequest(this.socket);
    if (req?.complete === false) return this.#isLingerOver ? "idle" : "active";
    // The bytes after a request without a body are the next one. After a body it is not known
    // whose they are, and the connection counts as idle, as any between two requests does in Go.
    return this.#hasReadOn && !this.#hasBody ? "active" : "idle";
  }

  /** Something has come since the newest head: more than the empty line that some send behind it. */
  get #hasReadOn(): boolean {
    return this.socket.bytesRead > this.#headEnd + EMPTY_LINE;
  }

  /** Whether a client that was answered before its upload was read has had its time, in a drain. */
  get #isLingerOver(): boolean {
    if (!this.#isEnding) return false;
    const now = performance.now();
    this.#lingerStart ??= now;
    return now - this.#lingerStart >= LINGER;
  }

  request(): RequestInFlight | undefined {
    const stream = this.#session?.oldest ?? this.#exchangeInFlight();
    if (stream === undefined) return undefined;
    const { method = "", url = "", since } = stream;
    return { method, path: pathOf(url), since };
  }

  #exchangeInFlight(): Stream | undefined {
    const res = this.#response?.deref();
    if (res === undefined || res.writableFinished) return undefined;
    // The cast: routers of the kind of Express shorten `url` to what is left below them, and keep this.
    const { method, url, originalUrl = url } = res.req as typeof res.req & { originalUrl?: string };
    return { method, url: originalUrl, since: this.#since };
  }

  /** It was found with this response in flight. */
  foundActive(res: Exchange["res"]): void {
    this.#hold(res, this.acceptedAt);
  }

  #hold(res: Exchange["res"], since: number): void {
    this.#response = hold(res);
    this.#hasBody = hasBody(res.req);
    this.#since = since;
    this.#headEnd = this.socket.bytesRead;
  }

  /** It was found between two requests. */
  foundIdle(): void {
    this.#isResting = true;
    this.#headEnd = this.socket.bytesRead;
  }

  /** A stream of its session has begun. */
  beginStream(
    stream: Stream,
    native: Pick<http2.ServerHttp2Stream, "once">,
    onChange: (() => void) | undefined,
  ): void {
    this.#session?.begin(stream, native, onChange);
  }

  /** A request has come, which may be the last. With `onChange` the server is draining. */
  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    if (this.#closing && this.#response?.deref() !== res) {
      this.#isFollowed = true;
      return false;
    }
    // One that its owner announces again, as after "checkContinue".
    if (this.#response?.deref() === res) return true;
    const since = Math.trunc(performance.now());
    if (this.#session !== undefined) {
      const { method, url } = req;
      // The cast: of both kinds of response, one with a session is of HTTP/2.
      const { stream } = res as http2.Http2ServerResponse;
      this.#session.begin({ method, url, since }, stream, onChange);
      return true;
    }
    this.#hold(res, since);
    if (onChange !== undefined) res.once("close", onChange);
    if (isLast) this.#endAfter(res);
    if (this.#onConnState !== undefined) this.#announceExchange(res);
    return true;
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

  /** To be called when the client has chosen HTTP/2, maybe during a drain. */
  startSession(session: http2.ServerHttp2Session & Session, drain: SessionDrain): void {
    session[CONN] = this;
    this.#session = new NodeSession(session, this.#accepted, this.socket, drain);
  }

  startLameDuck(): void {
    if (this.#session !== undefined) return;
    const res = this.#responseInFlight();
    if (res !== undefined) this.#endAfter(res);
  }

  startDrain(onChange: () => void): void {
    if (this.#session === undefined) this.#responseInFlight()?.once("close", onChange);
    else this.#session.startDrain();
  }

  startEnding(): void {
    this.#isEnding = true;
    if (this.#session === undefined) this.startLameDuck();
    else this.#session.startEnding();
  }

  #responseInFlight(): Exchange["res"] | undefined {
    const res = this.#response?.deref();
    return res?.writableFinished === false ? res : undefined;
  }

  /** Makes this response the last one of its connection, if its head does not say otherwise yet. */
  #endAfter(res: Exchange["res"]): void {
    if (this.#closing) return;
    // The cast: of both kinds of response, one without a session is of HTTP/1.
    const response = res as http.ServerResponse;
    if (!res.headersSent) sayCloseAtHead(response);
    else if (!sayCloseInHeldHead(response)) return;
    this.#closing = true;
    lingerOver(this.socket, res, () => this.#discardRest());
  }

  /** Has what the client sends behind its last request be read and dropped. False if nothing came. */
  #discardRest(): boolean {
    if (!this.#isFollowed && (this.#hasBody || !this.#hasReadOn)) return false;
    internals.newestRequest(this.socket)?.resume();
    this.socket.resume();
    return true;
  }

  closeIdle(now: number): void {
    if (this.#session?.closeIdle(now) === false) return;
    if (this.state() === "idle" && internals.closeIfIdleOnBun(this.socket)) {
      // Bun does not count it as idle if a part of the body came behind the answer.
      if (!this.#hasBody || !this.#isLingerOver) return;
    }
    this.destroy();
  }

  destroy(): void {
    this.#session?.destroy();
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
      const over = this.#response?.deref() === res && !this.socket.destroyed &&
        !this.socket.writableEnded;
      if (over) this.announce("idle");
    });
  }
}

/** In bytes: what is to be ignored before a request (RFC 9112, section 2.2). */
const EMPTY_LINE = 2;

const CONTENT_LENGTH = "content-length";
const TRANSFER_ENCODING = "transfer-encoding";

/** What does not keep a response that nobody else needs; on Bun the socket does not hold it either. */
interface Held {
  deref(): Exchange["res"] | undefined;
}

const hold: (res: Exchange["res"]) => Held = "bun" in process.versions
  ? (res) => ({ deref: () => res })
  : (res) => new WeakRef(res);

/** Read off the raw headers: node makes an object of them only for those who ask. */
function hasBody({ rawHeaders }: Exchange["req"]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === CONTENT_LENGTH.length && name.toLowerCase() === CONTENT_LENGTH) {
      return Number(rawHeaders[i + 1]) > 0;
    }
    if (name.length === TRANSFER_ENCODING.length && name.toLowerCase() === TRANSFER_ENCODING) {
      return true;
    }
  }
  return false;
}

/** The client's address. */
export function peerAddr({ remoteAddress, remotePort }: net.Socket): Addr {
  return remoteAddress === undefined || remotePort === undefined
    ? { transport: "unix", path: "" }
    : { transport: "tcp", hostname: remoteAddress, port: remotePort };
}
