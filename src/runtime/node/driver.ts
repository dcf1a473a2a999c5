import type http from "node:http";
import type http2 from "node:http2";
import net from "node:net";
import type tls from "node:tls";
import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import type { Engine, ServeSettings } from "../../options/serve.ts";
import { takeInAcceptQueue } from "../host/accept_queue.ts";
import type { StartedDriver } from "../../server/driver.ts";
import { endAndLinger } from "./linger.ts";
import { type ClosingQueue, nodeAcceptQueue } from "./accept_queue.ts";
import { CONN, NodeConn, type Session, type Tracked } from "./conn.ts";
import type { Exchange } from "./protocol.ts";
import { listening, localAddr } from "./listen.ts";
import { internals } from "./internals.ts";
import type { OpenConnection } from "./open_connections.ts";
import type { SessionDrain } from "./http2_session.ts";
import { ServerHooks } from "./server_hooks.ts";
import { TableDriver } from "../../server/table_driver.ts";

/** A server of `node:http`, or of `node:http2` that speaks HTTP/1 as well. */
export type NodeServer = http.Server | http2.Http2SecureServer;

/** What an upgrade is answered with that comes during a drain. */
const UPGRADE_REFUSED =
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

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
  /** Whether somebody else made it, and may do with it what we do not know. */
  readonly isAdopted: boolean;
}

/** The connections of a node server, and their end. */
export class NodeDriver extends TableDriver<NodeConn> implements StartedDriver {
  readonly engine: Engine = "node";
  readonly scheme: "http" | "https";
  /** What announces its connections, and to be used for what announces their requests. */
  readonly hooks: ServerHooks;
  readonly #listener: net.Server;
  readonly #onConnState: ServeSettings["onConnState"];
  readonly #backlog: number | undefined;
  readonly #seesStreams: boolean;
  readonly #isAdopted: boolean;
  #addr: Addr | undefined;
  #isEnding = false;
  /** No handler is waited for any more. */
  #isForced = false;
  /** How many connections the server has accepted. */
  #accepted = 0;
  /** The accept queue, once the listener is about to close. */
  #queue: ClosingQueue | undefined;

  /** `listener` accepts; requests are announced by {@linkcode NodeDriver.begin}. */
  constructor(listener: net.Server, traits: NodeServerTraits) {
    super();
    this.#listener = listener;
    this.hooks = new ServerHooks(listener);
    this.scheme = traits.secure ? "https" : "http";
    this.#onConnState = traits.onConnState;
    this.#addr = traits.addr;
    this.#backlog = traits.backlog;
    this.#seesStreams = traits.seesStreams;
    this.#isAdopted = traits.isAdopted;
    // A server that has closed does not know where it has listened.
    if (traits.addr === undefined) {
      const learn = () => {
        // Of an inherited descriptor the runtime may not know it.
        if (listener.address() !== null) this.#addr = localAddr(listener);
      };
      if (listener.listening) learn();
      this.hooks.on("listening", learn);
    }
    // Before the server's own listeners, which announce a session of HTTP/2 in the same turn.
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
  }

  /** To be called for each connection that was open before. */
  addOpen({ accepted, socket, response, session, streams, state }: OpenConnection): void {
    const conn = this.#onConnection(accepted);
    if (socket !== undefined && socket !== accepted) this.#onHandshake(socket);
    if (session !== undefined) conn.startSession(session, this.#drain);
    for (const { stream, method, url } of streams) this.#follow(conn, stream, method, url);
    if (session !== undefined) return;
    if (response !== undefined) conn.foundActive(response);
    else if (state === "idle") conn.foundIdle();
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
    const conn = new NodeConn(socket, this.scheme === "https", this.#onConnState);
    socket[CONN] = conn;
    this.conns.add(conn);
    conn.announce("new");
    socket.on("close", this.#onClose);
    return conn;
  }

  /** One shared listener instead of a closure per connection: idle connections are numerous. */
  readonly #onClose = forConn((conn) => {
    if (!conn.isAbandoned || this.#isForced) this.conns.delete(conn);
    conn.announce("closed");
  });

  /** With TLS the requests come over another socket than the one that was accepted. */
  #onHandshake(socket: Tracked): NodeConn | undefined {
    const accepted: Tracked = internals.acceptedSocketOf(socket) ?? socket;
    const conn = accepted[CONN];
    if (conn === undefined) return undefined;
    socket[CONN] = conn;
    conn.handshaken(socket);
    return conn;
  }

  /**
   * To be called for each request, whose connection it returns. Undefined for one that came behind the
   * response which said that it is the last of its connection: it must not be processed (RFC 9112,
   * section 9.6).
   */
  begin(req: Exchange["req"], res: Exchange["res"]): NodeConn | undefined {
    if (this.#seesStreams && "stream" in req) return undefined;
    const socket: Tracked = req.socket;
    const conn = socket[CONN] ?? this.#onConnection(socket);
    return conn.begin(req, res, this.endsConnections, this.onChange) ? conn : undefined;
  }

  /**
   * To be called when a handler that took its time has settled. Its connection has been kept until now,
   * although the client may have gone.
   */
  endHandler(conn: NodeConn): void {
    const wasAbandoned = conn.isAbandoned;
    conn.endHandler();
    if (wasAbandoned && !conn.isAbandoned) this.conns.delete(conn);
  }

  /** To be called for each stream of HTTP/2, before anybody else sees it. */
  beginStream(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const { ":method": method, ":path": url } = headers;
    // The cast: the stream is one of a server's.
    const session = stream.session as Session & http2.ServerHttp2Session | undefined;
    const conn = session?.[CONN] ?? (session && this.#addSession(session));
    if (conn !== undefined) this.#follow(conn, stream, method, url);
  }

  /** Adds a session that was open before its server was adopted: on Bun such sessions are not found. */
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
    conn.beginStream({ method, url, since: performance.now() }, stream, () => this.onChange?.());
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
   * To be called for a connection that HTTP has let go: upgraded, or a tunnel. During a drain it is
   * refused; its owner gets a socket that has ended.
   */
  hijack(socket: Tracked): void {
    const conn = socket[CONN] ?? this.#onConnection(socket);
    if (this.onChange !== undefined) refuseUpgrade(socket);
    else conn.hijack();
  }

  waitingToBeAccepted(): number | undefined {
    this.#queue = nodeAcceptQueue({
      server: this.#listener,
      addr: () => this.addr,
      backlog: this.#backlog,
      accepted: () => this.#accepted,
      isWithinReach: this.#isAdopted,
    });
    return this.#queue.waiting();
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

/** A listener of a socket's, for what wants its connection. */
function forConn(gone: (conn: NodeConn) => void): (this: Tracked) => void {
  return function (this: Tracked) {
    if (this[CONN] !== undefined) gone(this[CONN]);
  };
}

/** Answers an upgrade with 503. The owner of the server may still write to the socket, and cause an error. */
function refuseUpgrade(socket: net.Socket): void {
  if (socket.writableEnded) return;
  socket.on("error", () => {});
  socket.write(UPGRADE_REFUSED);
  // Nobody else may read on to see its end.
  socket.resume();
  endAndLinger(socket);
}

/**
 * Stops accepting, and that alone: `close` of `node:http` would end idle connections as well, on
 * Node 26 even new ones, and when those end is for the poll to say.
 */
function closeListener(listener: net.Server, queue: ClosingQueue | undefined): Promise<void> {
  // Its owner would hear "close" once more.
  if (!listener.listening) return Promise.resolve();
  return new Promise((resolve, reject) => {
    listener.once("close", () => internals.stopConnectionChecks(listener));
    // On Bun a server of node:http is none of node:net.
    const { close } = listener instanceof net.Server ? net.Server.prototype : listener;
    queue?.letIn?.();
    close.call(listener, (error) => {
      if (error !== undefined) reject(error);
    });
    internals.seemToListen(listener);
    // Where closing fails it does in the turn after the call; the callback of one that does not
    // comes only with the end of the last connection.
    setImmediate(resolve);
  });
}
