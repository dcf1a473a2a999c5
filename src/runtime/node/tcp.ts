/**
 * Servers of custom TCP protocols, on `node:net`. Of the APIs of the three runtimes, `node:net` is the one
 * that exists on all of them, shows a connection when it is accepted, lets each side of a connection end
 * separately, and can accept on an inherited socket.
 */
import type { Refable } from "../../server/native_server.ts";
import net from "node:net";
import process from "node:process";
import type tls from "node:tls";
import { refuse } from "../../options/checks.ts";
import type { ConnState, RequestInFlight } from "../../core/conn.ts";
import { type Addr, sameAddr } from "../../core/addr.ts";
import type { Conn } from "../../server/conn_table.ts";
import type { TcpConn, TcpHandler, TcpSettings } from "../../options/tcp.ts";
import { connectionsToCome, takeInAcceptQueue } from "../host/accept_queue.ts";
import type { Driver } from "../../server/driver.ts";
import type { ServedCertificates } from "../../server/served_certificates.ts";
import type { Engine } from "../../options/serve.ts";
import { endAndLinger } from "./linger.ts";
import { type ClosingQueue, nodeAcceptQueue } from "./accept_queue.ts";
import { internals } from "./internals.ts";
import { acceptOn, listen, listenerClosed, peerAddr, RememberedAddr } from "./listen.ts";
import { rememberingDescriptor } from "./listener_descriptors.ts";
import { peerCertificateOf } from "./peer_certificate.ts";
import { TableDriver } from "../../server/table_driver.ts";
import { Incoming, Outgoing } from "./tcp_streams.ts";

/** Starts a TCP server on `node:net`, or with TLS on `node:tls`. */
export async function startTcp(handler: TcpHandler, settings: TcpSettings): Promise<Driver> {
  const { listener, certificates } = await createListener(settings.tls);
  const driver = new TcpDriver(listener, certificates, handler, settings);
  if (settings.socket === undefined) {
    await rememberingDescriptor(listener, () => listen(listener, settings));
  }
  // Errors of the listener from here on are not errors of starting the server.
  listener.on("error", settings.onError);
  return driver;
}

async function createListener(
  tls: TcpSettings["tls"],
): Promise<{ listener: net.Server; certificates?: ServedCertificates }> {
  const noDelay = true;
  if (tls === undefined) return { listener: net.createServer({ allowHalfOpen: true, noDelay }) };
  const { secureListener } = await import("./secure_servers.ts");
  // On Node and Deno a connection would stay open whose client ends its side in the handshake. Bun closes it, and
  // cannot change this later.
  return secureListener(tls, { allowHalfOpen: "bun" in process.versions, noDelay });
}

/** The driver of a TCP server: tracks the connections of the server and ends them. */
class TcpDriver extends TableDriver<TcpConnection> implements Driver {
  readonly engine: Engine = "node";
  readonly scheme: "tcp" | "tls";
  readonly certificates: ServedCertificates | undefined;
  readonly #listener: net.Server;
  readonly #handler: TcpHandler;
  readonly #settings: TcpSettings;
  readonly #addr: RememberedAddr;
  /** The connections whose TLS handshake is not done, by their accepted sockets. */
  readonly #handshaking = new Map<net.Socket, TcpConnection>();
  /** The number of connections that the listener has accepted. */
  #accepted = 0;
  /** The accept queue of the listener; undefined until the listener is about to close. */
  #queue: ClosingQueue | undefined;
  /** Whether code outside this package has the listener, and may have shared its socket with another process. */
  #isWithinReach = false;

  constructor(
    listener: net.Server,
    certificates: ServedCertificates | undefined,
    handler: TcpHandler,
    settings: TcpSettings,
  ) {
    super();
    this.scheme = settings.tls === undefined ? "tcp" : "tls";
    this.certificates = certificates;
    this.#listener = listener;
    this.#handler = handler;
    this.#settings = settings;
    const { socket } = settings;
    this.#addr = new RememberedAddr(listener, socket, (learn) => listener.on("listening", learn));
    listener.on("connection", (socket: net.Socket) => this.#onConnection(socket));
    listener.on("secureConnection", (socket: tls.TLSSocket) => this.#onHandshake(socket));
  }

  get addr(): Addr {
    return this.#addr.value;
  }

  get native(): unknown {
    this.#isWithinReach = true;
    return this.#listener;
  }

  get handles(): readonly Refable[] {
    return [this.#listener];
  }

  acceptOn(fd: number): Promise<number> {
    return acceptOn(this.#listener, fd, this.#settings.backlog);
  }

  #onConnection(socket: net.Socket): void {
    this.#accepted++;
    const conn = new TcpConnection(socket, this.#settings);
    this.conns.add(conn);
    const onChange = this.onChangeOf(conn);
    if (onChange !== undefined) conn.startDrain(onChange);
    socket.on("close", () => {
      conn.announceChange();
      this.conns.delete(conn);
      this.#handshaking.delete(socket);
    });
    if (this.scheme === "tcp") void conn.run(socket, this.#handler);
    else this.#handshaking.set(socket, conn);
  }

  /** Starts the handler of a connection over its TLS socket, which is not the accepted socket. */
  #onHandshake(socket: tls.TLSSocket): void {
    const accepted = this.#acceptedSocketOf(socket);
    const conn = this.#handshaking.get(accepted);
    // The accepted socket has closed.
    if (conn === undefined) return void socket.destroy();
    this.#handshaking.delete(accepted);
    // The client is refused.
    if (socket.destroyed) return;
    socket.allowHalfOpen = true;
    void conn.run(socket, this.#handler);
  }

  #acceptedSocketOf(socket: tls.TLSSocket): net.Socket {
    const accepted = internals.acceptedSocketOf(socket) ?? socket;
    if (this.#handshaking.has(accepted)) return accepted;
    const client = peerAddr(socket);
    for (const [candidate, { remoteAddr }] of this.#handshaking) {
      if (sameAddr(remoteAddr, client)) return candidate;
    }
    return accepted;
  }

  waitingToBeAccepted(): number | undefined {
    this.#queue = nodeAcceptQueue({
      server: this.#listener,
      addr: () => this.addr,
      backlog: this.#settings.backlog,
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
    return listenerClosed((done) => {
      if (this.#listener.listening) this.#queue?.letIn?.();
      this.#listener.close((error?: NodeJS.ErrnoException) => {
        // A listener that is not running is already closed.
        done(error?.code === "ERR_SERVER_NOT_RUNNING" ? undefined : error);
      });
    });
  }
}

/** The socket that a handler speaks over, and its two sides. */
interface Streams {
  readonly socket: net.Socket;
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
}

/** A connection of a TCP server, which also creates the {@linkcode TcpConn} for its handler. */
class TcpConnection implements Conn {
  readonly acceptedAt: number = performance.now();
  readonly remoteAddr: Addr;
  readonly #accepted: net.Socket;
  readonly #settings: TcpSettings;
  /** The streams of the handler; undefined until the TLS handshake is done. */
  #streams: Streams | undefined;
  /** The state that the handler has set; "active" if bytes have arrived since, and "new" before both. */
  #said: "new" | "active" | "idle" = "new";
  /** The state that `onConnState` was last called with. */
  #announced: ConnState = "new";
  /** Whether the handler has settled, so that the connection closes when all data is sent. */
  #isDone = false;
  /** Whether the connection is being closed. */
  #isEnding = false;
  /**
   * The reason with which the streams fail: the error of the socket if the socket failed before the
   * connection was being closed, otherwise an AbortError.
   */
  #reason: unknown = new DOMException("The connection has ended", "AbortError");
  #onChange = (): void => {};

  constructor(accepted: net.Socket, settings: TcpSettings) {
    this.#accepted = accepted;
    this.#settings = settings;
    this.remoteAddr = peerAddr(accepted);
    this.#announce("new");
  }

  /**
   * Runs the handler over a socket, which with TLS is not the accepted one, and resolves when the handler has
   * settled. Never rejects.
   */
  async run(socket: net.Socket, handler: TcpHandler): Promise<void> {
    const incoming = new Incoming(socket, () => this.#say("active"));
    const outgoing = new Outgoing(socket, () => this.#onSent());
    this.#streams = { socket, incoming, outgoing };
    socket.on("error", (error) => {
      if (!this.#isEnding) this.#reason = error;
    });
    socket.on("close", () => {
      incoming.fail(this.#reason);
      outgoing.fail(this.#reason);
      this.announceChange();
    });
    try {
      await handler(this.#connFor(this.#streams));
    } catch (error) {
      // The end of the connection is not an error to report.
      if (error !== this.#reason) this.#settings.onError(error);
    }
    this.#isDone = true;
    if (outgoing.isSent) this.#end();
  }

  #connFor({ socket, incoming, outgoing }: Streams): TcpConn {
    return {
      readable: incoming.stream,
      writable: outgoing.stream,
      remoteAddr: this.remoteAddr,
      get peerCertificate() {
        return peerCertificateOf(socket);
      },
      // Node has `false` here if no protocol was chosen, and `null` before the handshake.
      alpnProtocol: ("alpnProtocol" in socket && socket.alpnProtocol as string) || undefined,
      draining: this.#settings.drainNotice.signalFor((release) => {
        socket.once("close", release);
      }),
      setState: (state) => {
        if (state !== "active" && state !== "idle") {
          refuse("set as 'state'", '"active" or "idle"', state);
        }
        this.#say(state);
      },
    };
  }

  state(): ConnState {
    if (this.#isGone) return "closed";
    // Written data belongs to a response, so the connection is not idle until the data is sent.
    return this.#said === "idle" && !this.#streams?.outgoing.isSent ? "active" : this.#said;
  }

  get #isGone(): boolean {
    return this.#accepted.destroyed || (this.#streams?.socket.destroyed ?? false);
  }

  request(): RequestInFlight | undefined {
    return undefined;
  }

  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /** Does nothing: only the handler knows how its protocol announces the end of a connection. */
  startEnding(): void {}

  closeIdle(): void {
    this.#end();
  }

  destroy(): void {
    this.#streams?.socket.destroy();
    this.#accepted.destroy();
  }

  /** Records and announces a state, unless the connection is being closed. */
  #say(state: "active" | "idle"): void {
    if (this.#isEnding) return;
    this.#said = state;
    this.announceChange();
  }

  #onSent(): void {
    if (this.#isDone) this.#end();
    else this.announceChange();
  }

  /** Closes the connection after the written data is sent. */
  #end(): void {
    if (this.#isEnding || this.#isGone) return;
    this.#isEnding = true;
    // During its handshake the connection is new, and nothing can be sent over it.
    if (this.#streams === undefined) return this.destroy();
    const { socket, incoming, outgoing } = this.#streams;
    incoming.end();
    outgoing.end(this.#reason);
    endAndLinger(socket);
  }

  /** Announces the state if it has changed, and reports an idle connection to the drain. */
  announceChange(): void {
    const state = this.state();
    if (state !== this.#announced) this.#announce(state);
    this.#announced = state;
    if (state === "idle") this.#onChange();
  }

  #announce(state: ConnState): void {
    const age = performance.now() - this.acceptedAt;
    this.#settings.onConnState(state, { state, age, remoteAddr: this.remoteAddr });
  }
}
