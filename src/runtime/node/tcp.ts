/**
 * Servers of a protocol of one's own, on `node:net`: of what each runtime has, the one that is there
 * on all three, shows a connection when it is accepted, lets each side end for itself, and can
 * accept on an inherited descriptor.
 */
import net from "node:net";
import { refuse } from "../../options/checks.ts";
import type { ConnState, RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { Conn } from "../../server/conn_table.ts";
import type { TcpConn, TcpHandler, TcpSettings } from "../../options/tcp.ts";
import { type AcceptQueue, takeInAcceptQueue } from "../host/accept_queue.ts";
import type { StartedDriver } from "../../server/driver.ts";
import type { Engine } from "../../options/serve.ts";
import { endAndLinger } from "./linger.ts";
import { nodeAcceptQueue } from "./accept_queue.ts";
import { listen, listening, localAddr, peerAddr } from "./listen.ts";
import { TableDriver } from "../../server/table_driver.ts";
import { Incoming, Outgoing } from "./tcp_streams.ts";

/** Starts a server on `node:net`. */
export async function startTcp(handler: TcpHandler, settings: TcpSettings): Promise<StartedDriver> {
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true });
  const driver = new TcpDriver(listener, handler, settings);
  if (settings.socket === undefined) await listen(listener, settings);
  // From here on an error of the listener is not one of starting it.
  listener.on("error", settings.onError);
  return driver;
}

class TcpDriver extends TableDriver<TcpConnection> implements StartedDriver {
  readonly engine: Engine = "node";
  readonly scheme = "tcp";
  readonly #listener: net.Server;
  readonly #handler: TcpHandler;
  readonly #settings: TcpSettings;
  #addr: Addr | undefined;
  /** How many connections the listener has accepted. */
  #accepted = 0;
  /** The accept queue, once the listener is about to close. */
  #queue: AcceptQueue | undefined;

  constructor(listener: net.Server, handler: TcpHandler, settings: TcpSettings) {
    super();
    this.#listener = listener;
    this.#handler = handler;
    this.#settings = settings;
    this.#addr = settings.socket;
    // A server that has closed does not know where it has listened.
    if (settings.socket === undefined) {
      listener.on("listening", () => this.#addr = localAddr(listener));
    }
    listener.on("connection", (socket: net.Socket) => this.#onConnection(socket));
  }

  get addr(): Addr {
    this.#addr ??= localAddr(this.#listener);
    return this.#addr;
  }

  async acceptOn(fd: number): Promise<number> {
    // Beside a descriptor node reads the backlog from there alone.
    await listening(this.#listener, { fd }, this.#settings.backlog);
    return fd;
  }

  #onConnection(socket: net.Socket): void {
    this.#accepted++;
    const conn = new TcpConnection(socket, this.#settings);
    this.conns.add(conn);
    if (this.onChange !== undefined) conn.startDrain(this.onChange);
    socket.on("close", () => this.conns.delete(conn));
    void conn.run(this.#handler);
  }

  waitingToBeAccepted(): number | undefined {
    this.#queue = nodeAcceptQueue({
      server: this.#listener,
      addr: () => this.addr,
      backlog: this.#settings.backlog,
      accepted: () => this.#accepted,
      isWithinReach: false,
    });
    return this.#queue.waiting();
  }

  async emptyAcceptQueue(force: AbortSignal): Promise<void> {
    if (this.#queue !== undefined) await takeInAcceptQueue(this.#queue, force);
  }

  closeListeners(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#listener.close((error?: NodeJS.ErrnoException) => {
        // One that is closed already is closed.
        if (error !== undefined && error.code !== "ERR_SERVER_NOT_RUNNING") reject(error);
      });
      // Where closing fails it does in the turn after the call; the callback of one that does not
      // comes only with the end of the last connection.
      setImmediate(resolve);
    });
  }
}

/** A connection of `serveTcp`, with what its handler gets of it. */
class TcpConnection implements Conn {
  readonly acceptedAt: number = performance.now();
  readonly remoteAddr: Addr;
  readonly #socket: net.Socket;
  readonly #settings: TcpSettings;
  readonly #incoming: Incoming;
  readonly #outgoing: Outgoing;
  /** What the handler has said, unless bytes have come since. */
  #said: "new" | "active" | "idle" = "new";
  #announced: ConnState = "new";
  /** The handler has settled: to be closed when all is sent. */
  #isDone = false;
  /** Whether the connection is being closed. */
  #isEnding = false;
  /** What the streams fail with: the socket's error, if it has failed before its end began. */
  #reason: unknown = new DOMException("The connection has ended", "AbortError");
  #onChange = (): void => {};

  constructor(socket: net.Socket, settings: TcpSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.remoteAddr = peerAddr(socket);
    this.#incoming = new Incoming(socket, () => this.#say("active"));
    this.#outgoing = new Outgoing(socket, () => this.#onSent());
    socket.on("error", (error) => {
      if (!this.#isEnding) this.#reason = error;
    });
    socket.on("close", () => {
      this.#incoming.fail(this.#reason);
      this.#outgoing.fail(this.#reason);
      this.#announceChange();
    });
    this.#announce("new");
  }

  /** Resolves when the handler has settled. Never rejects. */
  async run(handler: TcpHandler): Promise<void> {
    const conn: TcpConn = {
      readable: this.#incoming.stream,
      writable: this.#outgoing.stream,
      remoteAddr: this.remoteAddr,
      draining: this.#settings.drainNotice.signalFor((release) => {
        this.#socket.once("close", release);
      }),
      setState: (state) => {
        if (state !== "active" && state !== "idle") {
          refuse("set as 'state'", '"active" or "idle"', state);
        }
        this.#say(state);
      },
    };
    try {
      await handler(conn);
    } catch (error) {
      // That the connection has ended nobody has to be told.
      if (error !== this.#reason) this.#settings.onError(error);
    }
    this.#isDone = true;
    if (this.#outgoing.isSent) this.#end();
  }

  state(): ConnState {
    if (this.#socket.destroyed) return "closed";
    // What was written is the answer: until it is sent the connection is not idle.
    return this.#said === "idle" && !this.#outgoing.isSent ? "active" : this.#said;
  }

  request(): RequestInFlight | undefined {
    return undefined;
  }

  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /** Does nothing: only the handler knows how its protocol says goodbye. */
  startEnding(): void {}

  closeIdle(): void {
    this.#end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #say(state: "active" | "idle"): void {
    if (this.#isEnding) return;
    this.#said = state;
    this.#announceChange();
  }

  #onSent(): void {
    if (this.#isDone) this.#end();
    else this.#announceChange();
  }

  /** Closes the connection behind what was written. */
  #end(): void {
    if (this.#isEnding || this.#socket.destroyed) return;
    this.#isEnding = true;
    this.#incoming.end();
    this.#outgoing.end(this.#reason);
    endAndLinger(this.#socket);
  }

  #announceChange(): void {
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
