import type http from "node:http";
import type http2 from "node:http2";
import net from "node:net";
import process from "node:process";
import type tls from "node:tls";
import {
  type Addr,
  type Conn,
  type ConnState,
  inFlight,
  pathOf,
  type RequestInFlight,
} from "../conn.ts";
import type { ServeSettings } from "../options.ts";
import type { Driver, Engine } from "./driver.ts";
import { LINGER } from "./last_response.ts";
import type { OpenConnection } from "./node_open_conns.ts";
import { TableDriver } from "./table_driver.ts";

/** A server of `node:http`, or of `node:http2` that speaks HTTP/1 as well. */
export type NodeServer = http.Server | http2.Http2SecureServer;

/** A request and its response, as node has them. */
export interface Exchange {
  req: http.IncomingMessage | http2.Http2ServerRequest;
  res: http.ServerResponse | http2.Http2ServerResponse;
}

/** A stream of HTTP/2: what was asked for, and when. */
interface Stream {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly since: number;
}

/** What an upgrade is answered with that comes during a drain. */
const UPGRADE_REFUSED =
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/** From a socket to its connection, on the path of every request. */
const CONN: unique symbol = Symbol("graceful connection");
type Tracked = net.Socket & { [CONN]?: NodeConn };
type Session = http2.Http2Session & { [CONN]?: NodeConn };

/** What the driver has to know of the server it drives. */
export interface NodeServerTraits {
  /** Whether it speaks TLS. */
  readonly secure: boolean;
  readonly onConnState: ServeSettings["onConnState"];
  /** Where it listens, if the server itself cannot tell. */
  readonly addr: Addr | undefined;
  readonly backlog: number | undefined;
  /** Whether streams of HTTP/2 are announced by {@linkcode NodeDriver.beginStream}. */
  readonly seesStreams: boolean;
}

/** The connections of a node server, and their end. */
export class NodeDriver extends TableDriver<NodeConn> implements Driver {
  readonly engine: Engine = "node";
  readonly secure: boolean;
  readonly #listener: net.Server;
  readonly #onConnState: ServeSettings["onConnState"];
  readonly #backlog: number | undefined;
  readonly #seesStreams: boolean;
  #addr: Addr | undefined;

  /** `listener` accepts; requests are announced by {@linkcode NodeDriver.begin}. */
  constructor(listener: net.Server, traits: NodeServerTraits) {
    super();
    this.#listener = listener;
    this.secure = traits.secure;
    this.#onConnState = traits.onConnState;
    this.#addr = traits.addr;
    this.#backlog = traits.backlog;
    this.#seesStreams = traits.seesStreams;
    // Before the server's own listeners, which announce a session of HTTP/2 in the same turn.
    let newest: NodeConn | undefined;
    listener.prependListener("connection", (socket: net.Socket) => {
      newest = this.#onConnection(socket);
    });
    listener.prependListener("secureConnection", (socket: tls.TLSSocket) => {
      newest = this.#onHandshake(socket);
    });
    listener.on("session", (session: http2.ServerHttp2Session) => {
      newest?.startSession(session, this.onChange !== undefined);
    });
  }

  /** To be called for each connection that was open before. */
  addOpen({ accepted, socket, response, session, state }: OpenConnection): void {
    const conn = this.#onConnection(accepted);
    if (socket !== undefined && socket !== accepted) this.#onHandshake(socket);
    if (session !== undefined) conn.startSession(session, false);
    else if (response !== undefined) conn.resume(response);
    else if (state === "idle") conn.rest();
    else if (state === "hijacked") conn.hijack();
  }

  get addr(): Addr {
    this.#addr ??= localAddr(this.#listener);
    return this.#addr;
  }

  async acceptOn(fd: number): Promise<number> {
    // Beside a descriptor node reads the backlog from there alone.
    await listening(this.#listener, { fd }, this.#backlog);
    return fd;
  }

  #onConnection(socket: Tracked): NodeConn {
    const conn = new NodeConn(socket, this.secure, this.#onConnState);
    socket[CONN] = conn;
    this.conns.add(conn);
    conn.announce("new");
    socket.on("close", this.#onClose);
    return conn;
  }

  /** One function for all, told by the socket: idle connections are many. */
  readonly #onClose = forConn((conn) => {
    this.conns.delete(conn);
    conn.announce("closed");
  });

  /** With TLS the requests come over another socket than the one that was accepted. */
  #onHandshake(socket: Tracked & { _parent?: Tracked }): NodeConn | undefined {
    // Bun has one socket for both. `_parent` is not in the types, but it is what node calls it.
    const conn = (socket._parent ?? socket)[CONN];
    if (conn === undefined) return undefined;
    socket[CONN] = conn;
    conn.socket = socket;
    conn.isHandshaken = true;
    return conn;
  }

  /**
   * To be called for each request. False for one that came behind the response which said that it
   * is the last of its connection: it must not be processed (RFC 9112, section 9.6).
   */
  begin(req: Exchange["req"], res: Exchange["res"]): boolean {
    const socket: Tracked = req.socket;
    const conn = socket[CONN] ?? this.#onConnection(socket);
    if (this.#seesStreams && conn.hasSession) return true;
    return conn.begin(req, res, this.endsConnections, this.onChange);
  }

  /** To be called for each stream of HTTP/2, before anybody else sees it. */
  beginStream(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const { ":method": method, ":path": url } = headers;
    const session: Session | undefined = stream.session;
    session?.[CONN]?.beginStream({ method, url, since: performance.now() }, stream, () => {
      this.onChange?.();
    });
  }

  override startLameDuck(): void {
    super.startLameDuck();
    for (const conn of this.conns) conn.startLameDuck();
  }

  /**
   * To be called for a connection that HTTP has let go: upgraded, or a tunnel. During a drain it is
   * refused; its owner gets a socket that has ended.
   */
  hijack(socket: Tracked): void {
    const conn = socket[CONN] ?? this.#onConnection(socket);
    if (this.onChange !== undefined) refuseUpgrade(socket);
    else conn.hijack();
  }

  closeListeners(): Promise<void> {
    return closeListener(this.#listener);
  }
}

/** One connection of a node server. Its state is read off its sockets and its newest exchange. */
class NodeConn implements Conn {
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
  /** When its request came. */
  #since = 0;
  #remoteAddr: Addr | undefined;
  /** `bytesRead` of the socket when the newest request was announced. */
  #headEnd = 0;
  /** A response has said that it is the last one. */
  #closing = false;
  #hijacked = false;
  #session: http2.ServerHttp2Session | undefined;
  /** A session that began during the drain has had no stream yet. */
  #awaitsStream = false;
  /** The exchanges in flight, of a session of HTTP/2. */
  #streams: Set<Stream> | undefined;
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
    if (this.#accepted.destroyed) return "closed";
    if (this.#hijacked) return "hijacked";
    if (this.#session !== undefined) {
      if (this.#streams !== undefined && this.#streams.size > 0) return "active";
      return this.#awaitsStream ? "new" : "idle";
    }
    if (this.#response === undefined) {
      if (this.#isResting && this.socket.bytesRead === this.#headEnd) return "idle";
      return this.isHandshaken && this.socket.bytesRead > 0 ? "active" : "new";
    }
    const res = this.#response.deref();
    if (this.#closing || res?.writableFinished === false) return "active";
    const req = res?.req ?? newestRequest(this.socket);
    if (req?.complete === false) return "active";
    // The bytes after a request without a body are the next one. After a body it is not known
    // whose they are, and the connection counts as idle, as any between two requests does in Go.
    const hasMore = this.socket.bytesRead > this.#headEnd;
    return hasMore && req !== undefined && !hasBody(req) ? "active" : "idle";
  }

  request(): RequestInFlight | undefined {
    const [stream = this.#exchangeInFlight()] = this.#streams ?? [];
    if (stream === undefined) return undefined;
    const { method = "", url = "", since } = stream;
    return { method, path: pathOf(url), since };
  }

  #exchangeInFlight(): Stream | undefined {
    const res = this.#response?.deref();
    if (res === undefined || res.writableFinished) return undefined;
    const { method, url } = res.req;
    return { method, url, since: this.#since };
  }

  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  /** It was found with this response in flight. */
  resume(res: Exchange["res"]): void {
    this.#hold(res, this.acceptedAt);
  }

  #hold(res: Exchange["res"], since: number): void {
    this.#response = hold(res);
    this.#since = since;
    this.#headEnd = this.socket.bytesRead;
  }

  /** It was found between two requests. */
  rest(): void {
    this.#isResting = true;
    this.#headEnd = this.socket.bytesRead;
  }

  beginStream(
    stream: Stream,
    ended: Pick<http2.ServerHttp2Stream, "once">,
    onChange: (() => void) | undefined,
  ): void {
    this.#awaitsStream = false;
    const streams = this.#streams ??= new Set();
    streams.add(stream);
    ended.once("close", () => {
      streams.delete(stream);
      onChange?.();
    });
  }

  /** A request has come, which may be the last. With `onChange` the server is draining. */
  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    if (this.#closing) return false;
    const since = Math.trunc(performance.now());
    if (this.#session !== undefined) {
      const { method, url } = req;
      // The cast: of both kinds of response, one with a session is of HTTP/2.
      const { stream } = res as http2.Http2ServerResponse;
      this.beginStream({ method, url, since }, stream, onChange);
      return true;
    }
    this.#hold(res, since);
    if (isLast) this.#endAfter(res, onChange);
    if (this.#onConnState !== undefined) this.#announceExchange(res);
    return true;
  }

  hijack(): void {
    this.#hijacked = true;
    this.announce("hijacked");
  }

  /**
   * The client has chosen HTTP/2. If the drain came between its connection and this, its first
   * request is on the way: GOAWAY would turn that away.
   */
  startSession(session: http2.ServerHttp2Session & Session, isDraining: boolean): void {
    session[CONN] = this;
    this.#session = session;
    this.#awaitsStream = isDraining;
  }

  startLameDuck(): void {
    if (this.#session === undefined) this.#endAfterCurrent(undefined);
  }

  startDrain(onChange: () => void): void {
    if (this.#session !== undefined) this.#session.close();
    else this.#endAfterCurrent(onChange);
  }

  #endAfterCurrent(onChange: (() => void) | undefined): void {
    const res = this.#response?.deref();
    if (res !== undefined && !res.writableFinished) this.#endAfter(res, onChange);
  }

  /** Makes this response the last one of its connection, if its head does not say otherwise yet. */
  #endAfter(res: Exchange["res"], onChange: (() => void) | undefined): void {
    if (onChange !== undefined) res.once("close", onChange);
    if (res.headersSent || this.#closing) return;
    this.#closing = true;
    res.setHeader("connection", "close");
    lingerOver(this.socket, res.req);
  }

  closeIdle(): void {
    if (this.#session !== undefined) this.#session.close();
    else this.#accepted.destroy();
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

/** What does not keep a response that nobody else needs; on Bun the socket does not hold it either. */
interface Held {
  deref(): Exchange["res"] | undefined;
}

const hold: (res: Exchange["res"]) => Held = "bun" in process.versions
  ? (res) => ({ deref: () => res })
  : (res) => new WeakRef(res);

/** A listener of a socket's, for what wants its connection. */
function forConn(gone: (conn: NodeConn) => void): (this: Tracked) => void {
  return function (this: Tracked) {
    if (this[CONN] !== undefined) gone(this[CONN]);
  };
}

/** The last request that was parsed on a socket, as long as node keeps it. */
function newestRequest(socket: net.Socket): http.IncomingMessage | undefined {
  // The cast: the parser is not in the types.
  const { parser } = socket as { parser?: { incoming?: http.IncomingMessage | null } | null };
  return parser?.incoming ?? undefined;
}

/** Its owner may write to it all the same, which is an error that nobody listens to yet. */
function refuseUpgrade(socket: net.Socket): void {
  socket.on("error", () => {});
  socket.end(UPGRADE_REFUSED);
}

function hasBody(req: Exchange["req"]): boolean {
  return req.headers["transfer-encoding"] !== undefined ||
    Number(req.headers["content-length"] ?? 0) > 0;
}

/**
 * Closing a socket on which bytes are yet to be read resets it, and the reset takes with it what
 * the client has not read of the answer. So an upload that was answered unread may go on for a
 * while: Go's `closeWriteAndWait`.
 */
function lingerOver(socket: net.Socket, req: Exchange["req"]): void {
  const destroySoon = socket.destroySoon.bind(socket);
  // What node calls when the last response of a connection has been written.
  socket.destroySoon = () => {
    if (req.complete) return destroySoon();
    socket.end();
    req.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER);
    socket.once("close", () => clearTimeout(timer));
    req.once("end", destroySoon);
  };
}

function localAddr(listener: net.Server): Addr {
  const address = listener.address();
  if (address === null) throw new Error("The server does not listen");
  return typeof address === "string"
    ? { transport: "unix", path: address }
    : { transport: "tcp", hostname: address.address, port: address.port };
}

/** The client's address. */
export function peerAddr({ remoteAddress, remotePort }: net.Socket): Addr {
  return remoteAddress === undefined || remotePort === undefined
    ? { transport: "unix", path: "" }
    : { transport: "tcp", hostname: remoteAddress, port: remotePort };
}

/**
 * Deno ends a connection behind each response of a server that does not listen, although the
 * response did not say so, and a request may have crossed that.
 */
function seemToListen(listener: net.Server): void {
  Object.defineProperty(listener, "listening", { value: true, configurable: true });
  listener.once("close", () => Reflect.deleteProperty(listener, "listening"));
}

/** Resolves when the server listens, rejects if it cannot. */
export function listening(
  listener: net.Server,
  where: net.ListenOptions | { fd: number },
  backlog?: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once("error", reject);
    // The cast: the types leave `fd` out.
    listener.listen(where as net.ListenOptions & number, backlog as number, () => {
      listener.off("error", reject);
      resolve();
    });
  });
}

/**
 * Stops accepting, and that alone: `close` of `node:http` would end idle connections as well, on
 * Node 26 even new ones, and when those end is for the poll to say.
 */
function closeListener(listener: net.Server): Promise<void> {
  return new Promise((resolve, reject) => {
    // Once the last connection is gone nothing is left of it but its timers, which it clears.
    listener.once("close", () => listener.close());
    // On Bun a server of node:http is none of node:net.
    const { close } = listener instanceof net.Server ? net.Server.prototype : listener;
    close.call(listener, (error?: NodeJS.ErrnoException) => {
      // One that is closed already is closed.
      if (error !== undefined && error.code !== "ERR_SERVER_NOT_RUNNING") reject(error);
    });
    if ("deno" in process.versions) seemToListen(listener);
    // Where closing fails it does in the turn after the call; the callback of one that does not
    // comes only with the end of the last connection.
    setImmediate(resolve);
  });
}
