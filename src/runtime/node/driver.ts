import { Expiry } from "../../server/expiry.ts";
import type { LimitSettings } from "../../options/limits.ts";
import type { Refable } from "../../server/native_server.ts";
import type http from "node:http";
import type http2 from "node:http2";
import net from "node:net";
import type tls from "node:tls";
import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import type { Engine, ServeSettings } from "../../options/serve.ts";
import { connectionsToCome, takeInAcceptQueue } from "../host/accept_queue.ts";
import type { Driver } from "../../server/driver.ts";
import type { ServedCertificates } from "../../server/served_certificates.ts";
import { endAndLinger } from "./linger.ts";
import { type ClosingQueue, nodeAcceptQueue } from "./accept_queue.ts";
import { CONN, NodeConn, type Session, type Tracked } from "./conn.ts";
import type { Exchange } from "./protocol.ts";
import { acceptedAt, requestedAt } from "./arrival_times.ts";
import { acceptOn, listenerClosed, RememberedAddr } from "./listen.ts";
import { internals } from "./internals.ts";
import type { OpenConnection } from "./open_connections.ts";
import type { SessionDrain } from "./http2_session.ts";
import { ServerHooks } from "./server_hooks.ts";
import { TableDriver } from "../../server/table_driver.ts";

/** A server of `node:http`, or a server of `node:http2` that speaks HTTP/1 as well. */
export type NodeServer = http.Server | http2.Http2SecureServer;

/** The response to an upgrade request that arrives while the server is draining. */
const UPGRADE_REFUSED =
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/**
 * The response to a client that has not chosen HTTP/2 by ALPN, if the server speaks only HTTP/2. With Node's own
 * response the connection would stay open for ten seconds, even if the client has left.
 */
const PROTOCOL_REFUSED =
  "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n" +
  "This server speaks only HTTP/2.\n";

/** The properties of a server that its {@linkcode NodeDriver} needs to know. */
export interface NodeServerTraits {
  /** Whether the server speaks TLS. */
  readonly secure: boolean;
  /** The certificates of the server, if this package has created the server and it speaks TLS. */
  readonly certificates?: ServedCertificates | undefined;
  readonly onConnState: ServeSettings["onConnState"];
  /** The address that the server listens on, if the server itself cannot report the address. */
  readonly addr: Addr | undefined;
  readonly backlog: number | undefined;
  /** Whether HTTP/2 streams are announced by {@linkcode NodeDriver.beginStream}. */
  readonly seesStreams: boolean;
  /** The server of the engine, which on Bun is not the listener. */
  readonly native: unknown;
  /**
   * Whether the server was created outside this package, and its owner may use the server without our
   * knowledge.
   */
  readonly isAdopted: boolean;
}

/** The driver of a Node server: tracks the connections of the server and ends them. */
export class NodeDriver extends TableDriver<NodeConn> implements Driver {
  readonly engine: Engine = "node";
  readonly scheme: "http" | "https";
  readonly certificates: ServedCertificates | undefined;
  /** The event listeners of the driver on its server. Listeners for requests are added by the caller. */
  readonly hooks: ServerHooks;
  readonly #listener: net.Server;
  readonly #onConnState: ServeSettings["onConnState"];
  readonly #backlog: number | undefined;
  readonly #seesStreams: boolean;
  readonly #native: unknown;
  /** Whether code outside this package has the server, and may have shared its socket with another process. */
  #isWithinReach: boolean;
  readonly #addr: RememberedAddr;
  #isEnding = false;
  /** Whether {@linkcode NodeDriver.closeAll} was called, which no longer waits for handlers. */
  #isForced = false;
  /** The number of connections that the server has accepted. */
  #accepted = 0;
  /** The accept queue of the server; undefined until the listener is about to close. */
  #queue: ClosingQueue | undefined;

  /**
   * Creates the driver of the server that `listener` accepts for. The caller announces each request with
   * {@linkcode NodeDriver.begin}.
   */
  constructor(listener: net.Server, traits: NodeServerTraits) {
    super();
    this.#listener = listener;
    this.#native = traits.native;
    this.hooks = new ServerHooks(listener);
    this.scheme = traits.secure ? "https" : "http";
    this.certificates = traits.certificates;
    this.#onConnState = traits.onConnState;
    this.#backlog = traits.backlog;
    this.#seesStreams = traits.seesStreams;
    this.#isWithinReach = traits.isAdopted;
    const { addr } = traits;
    this.#addr = new RememberedAddr(listener, addr, (learn) => this.hooks.on("listening", learn));
    // These hooks run before the server's own listeners, which announce an HTTP/2 session in the same turn.
    let newest: NodeConn | undefined;
    this.hooks.on("connection", (socket: net.Socket) => {
      this.#accepted++;
      newest = this.#onConnection(socket);
    });
    this.hooks.on("secureConnection", (socket: tls.TLSSocket) => {
      newest = this.#onHandshake(socket);
    });
    this.hooks.on("session", (session: http2.ServerHttp2Session) => {
      newest?.startSession(session, this.#drain);
    });
    this.hooks.on("unknownProtocol", (socket: net.Socket) => {
      // The owner of an adopted server may have a listener that answers such a client.
      if (listener.listenerCount("unknownProtocol") === 1) refuse(socket, PROTOCOL_REFUSED);
    });
  }

  /** Adds a connection that was found open. */
  addOpen(open: OpenConnection): void {
    const { accepted, socket, session, streams } = open;
    const conn = this.#onConnection(accepted);
    if (socket !== undefined && socket !== accepted) this.#onHandshake(socket);
    if (session === undefined) return restoreState(conn, open);
    conn.startSession(session, this.#drain);
    for (const { stream, method, url } of streams) this.#follow(conn, stream, method, url);
  }

  get addr(): Addr {
    return this.#addr.value;
  }

  get native(): unknown {
    this.#isWithinReach = true;
    return this.#native;
  }

  /** Closes connections that exceed the time limits from now on. */
  limitTimes(limits: Pick<LimitSettings, "idleTimeout" | "headerTimeout">): void {
    this.expiry = new Expiry(this.conns, limits);
  }

  get handles(): readonly Refable[] {
    return [this.#listener];
  }

  acceptOn(fd: number): Promise<number> {
    return acceptOn(this.#listener, fd, this.#backlog);
  }

  #onConnection(socket: Tracked): NodeConn {
    const isSecure = this.scheme === "https";
    const conn = new NodeConn(socket, isSecure, this.#onConnState, acceptedAt(socket));
    socket[CONN] = conn;
    this.conns.add(conn);
    conn.announce("new");
    socket.on("close", this.#onClose);
    return conn;
  }

  /**
   * The "close" listener that all sockets share. A closure per connection would cost memory: idle
   * connections are numerous.
   */
  readonly #onClose = forConn((conn) => {
    if (!conn.isAbandoned || this.#isForced) this.conns.delete(conn);
    conn.announce("closed");
  });

  /**
   * Assigns a TLS socket to the connection of its accepted socket, and returns that connection. With TLS
   * the requests come over a different socket than the accepted one.
   */
  #onHandshake(socket: Tracked): NodeConn | undefined {
    const accepted: Tracked = internals.acceptedSocketOf(socket) ?? socket;
    const conn = accepted[CONN];
    if (conn === undefined) return undefined;
    socket[CONN] = conn;
    conn.handshaken(socket);
    return conn;
  }

  /**
   * Records a request and returns its connection. Returns undefined for a request that must not be recorded
   * or processed here: a request that follows the last response of its connection (RFC 9112, section 9.6),
   * or a request that {@linkcode NodeDriver.beginStream} has recorded.
   */
  begin(req: Exchange["req"], res: Exchange["res"]): NodeConn | undefined {
    if (this.#seesStreams && "stream" in req) return undefined;
    const socket: Tracked = req.socket;
    const conn = socket[CONN] ?? this.#onConnection(socket);
    this.conns.begun(conn);
    return conn.begin(req, res, this.endsConnections, this.onChangeOf(conn)) ? conn : undefined;
  }

  /**
   * Records that an asynchronous handler has settled. The driver has kept the connection until now, even if
   * the client has disconnected.
   */
  endHandler(conn: NodeConn): void {
    const wasAbandoned = conn.isAbandoned;
    conn.endHandler();
    if (wasAbandoned && !conn.isAbandoned) this.conns.delete(conn);
  }

  /** Records an HTTP/2 stream. Must be called before any other listener sees the stream. */
  beginStream(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const { ":method": method, ":path": url } = headers;
    // The cast: the stream belongs to a server, and so does its session.
    const session = stream.session as Session & http2.ServerHttp2Session | undefined;
    const conn = session?.[CONN] ?? (session && this.#addSession(session));
    if (conn !== undefined) this.#follow(conn, stream, method, url);
  }

  /**
   * Adds the connection of a session that was open when its server was adopted. Needed on Bun, which cannot
   * list such sessions.
   */
  #addSession(session: http2.ServerHttp2Session): NodeConn | undefined {
    const socket = internals.socketOf(session);
    if (socket === undefined) return undefined;
    const conn = this.#onConnection(socket);
    conn.startSession(session, this.#drain);
    return conn;
  }

  #follow(
    conn: NodeConn,
    stream: http2.ServerHttp2Stream,
    method: string | undefined,
    url: string | undefined,
  ): void {
    conn.beginStream(
      { method, url, since: performance.now() },
      stream,
      () => this.conns.changed(conn),
    );
  }

  get #drain(): SessionDrain {
    return { isDraining: this.onChange !== undefined, isEnding: this.#isEnding };
  }

  override endConnections(): void {
    this.#isEnding = true;
    super.endConnections();
  }

  override async closeAll(): Promise<void> {
    this.#isForced = true;
    const closed = super.closeAll();
    for (const conn of this.conns) if (conn.isAbandoned) this.conns.delete(conn);
    await closed;
  }

  override startLameDuck(): void {
    super.startLameDuck();
    for (const conn of this.conns) attempt(() => conn.startLameDuck());
  }

  /**
   * Records that HTTP has released a connection to an upgrade or a tunnel. While the server is draining the
   * upgrade is refused, and the owner gets a socket that has ended.
   */
  hijack(socket: Tracked): void {
    const conn = socket[CONN] ?? this.#onConnection(socket);
    if (this.onChange !== undefined) refuse(socket, UPGRADE_REFUSED);
    else conn.hijack();
  }

  waitingToBeAccepted(): number | undefined {
    this.#queue = nodeAcceptQueue({
      server: this.#listener,
      addr: () => this.addr,
      backlog: this.#backlog,
      accepted: () => this.#accepted,
      isWithinReach: this.#isWithinReach,
      isShared: this.isShared,
    });
    return connectionsToCome(this.#queue);
  }

  async emptyAcceptQueue(force: AbortSignal): Promise<void> {
    if (this.#queue !== undefined) await takeInAcceptQueue(this.#queue, force);
  }

  closeListeners(): Promise<void> {
    return closeListener(this.#listener, this.#queue);
  }

  release(): void {
    this.hooks.release();
  }
}

/** Gives a connection without an HTTP/2 session the state in which it was found. */
export function restoreState(conn: NodeConn, open: OpenConnection): void {
  const { socket, response, nextHasBegun, state } = open;
  if (socket !== undefined && response !== undefined) {
    conn.foundActive(response, requestedAt(socket) ?? conn.acceptedAt, nextHasBegun);
  } else if (state === "idle") conn.foundIdle();
  else if (state === "hijacked") conn.hijack();
}

/** Returns a listener for an event of a socket that calls a function with the connection of the socket. */
function forConn(gone: (conn: NodeConn) => void): (this: Tracked) => void {
  return function (this: Tracked) {
    if (this[CONN] !== undefined) gone(this[CONN]);
  };
}

/** Sends a refusal and ends the connection. */
function refuse(socket: net.Socket, response: string): void {
  if (socket.writableEnded) return;
  // The owner of the socket may still write to it, and that error would have no listener.
  socket.on("error", () => {});
  socket.write(response);
  // The end of the socket is seen only if someone reads, and the owner may not.
  socket.resume();
  endAndLinger(socket);
}

/**
 * Closes the listener without ending any connection. The `close` method of `node:http` would also end idle
 * connections, and on Node 26 even new ones; here the poll decides when those connections end.
 */
function closeListener(listener: net.Server, queue: ClosingQueue | undefined): Promise<void> {
  // Otherwise the owner would receive a second "close" event.
  if (!listener.listening) return Promise.resolve();
  return listenerClosed((done) => {
    listener.once("close", () => internals.stopConnectionChecks(listener));
    // On Bun a server of node:http is not an instance of net.Server.
    const { close } = listener instanceof net.Server ? net.Server.prototype : listener;
    queue?.letIn?.();
    close.call(listener, done);
    internals.seemToListen(listener);
  });
}
