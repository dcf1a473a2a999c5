/**
 * The engine `"deno"` with the help of the kernel: one server of Deno for all connections, as `Deno.serve`
 * has. Deno shows no connection then. The kernel shows them when a drain starts, and closes single ones.
 */
import { attempt } from "../../core/attempt.ts";
import { type Addr, keyOf } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import { reportError } from "../../core/report_error.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import { GOING_AWAY, type StartedDriver } from "../../server/driver.ts";
import { badRequest } from "../../server/last_response.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { TableDriver } from "../../server/table_driver.ts";
import {
  type Engine,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import { addrOf, type DenoHttpServer, type DenoInfo, type DenoListener } from "../api/deno.ts";
import { takeInAcceptQueue, UNKNOWN_QUEUE } from "../host/accept_queue.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import { ServerSockets } from "../linux/server_sockets.ts";
import { streamLargeBody } from "./body.ts";
import { type ConnectionServing, internals } from "./internals.ts";
import { KernelConnection, type KernelConnectionEvents } from "./kernel_connection.ts";
import { KernelExchange } from "./kernel_exchange.ts";
import { lastOf } from "./last_response.ts";
import { isHttp2, isReceivable, isUnread } from "./upload.ts";

/** The least number of ms between two looks at which connections have closed. */
const WATCH_INTERVAL = 5;
/** The least pause between two looks, as a multiple of the time that a look takes. */
const WATCH_SHARE = 20;

/** The first and the longest pause in ms before accepting again, and the least time between two reports. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 1_000;
const REPORT_INTERVAL = 10_000;

/** The number of recorded addresses at which those of closed connections are first removed. */
const PRUNE_AT = 1_024;

/** The listener of a {@linkcode KernelDriver}, and how the driver serves on it. */
export interface KernelServing {
  readonly serving: ConnectionServing & Required<Pick<ConnectionServing, "serveHttpOnListener">>;
  readonly kernel: KernelSockets;
  readonly listener: DenoListener;
  /** The descriptor of the listener. */
  readonly fd: number;
  /** The cookies of the connections that existed at the address before the listener did. */
  readonly strangers: ReadonlySet<bigint>;
  /** Opens a listener at an address that nobody knows. */
  listenElsewhere(): DenoListener;
}

export class KernelDriver extends TableDriver<KernelConnection> implements StartedDriver {
  readonly engine: Engine = "deno";
  readonly scheme = "http";
  readonly addr: Addr;
  readonly #handler: Handler;
  readonly #settings: ServeSettings;
  readonly #serving: KernelServing;
  readonly #servers: DenoHttpServer[] = [];
  /** The ids of Deno's resources behind the servers, -1 where the id is unknown. */
  readonly #resources: number[] = [];
  #sockets: ServerSockets;
  /** The requests in flight, except for those that were answered in the turn in which they came. */
  readonly #flights = new Set<KernelExchange>();
  readonly #byKey = new Map<string, KernelConnection>();
  /** The WebSockets, by the addresses of their clients. */
  readonly #webSockets = new Map<string, WebSocket>();
  /** The addresses of the clients whose uploads were left unread. */
  readonly #unread = new Set<string>();
  readonly #http2 = new Set<string>();
  /** The addresses of clients whose connections are to end when they are found, see `#endLater`. */
  readonly #unknown = new Map<string, boolean>();
  #finding: ReturnType<typeof setTimeout> | undefined;
  #pruneAt = PRUNE_AT;
  readonly #ending = new Set<KernelConnection>();
  #closeListener: (() => boolean) | undefined;
  #watching: ReturnType<typeof setTimeout> | undefined;
  #looking: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;
  #isListenerClosed = false;
  /**
   * Another descriptor of the listener. Deno closes its own, and accepts nothing more, when it is out of
   * descriptors.
   */
  readonly #spare: number;
  #restarting: ReturnType<typeof setTimeout> | undefined;
  #reportedAt = -Infinity;
  #isStopped = false;
  readonly #events: KernelConnectionEvents = {
    onEnding: (conn) => this.#watchEnd(conn),
    endHttp2: () => this.#endHttp2(),
  };

  constructor(handler: Handler, settings: ServeSettings, serving: KernelServing) {
    super();
    this.#handler = handler;
    this.#settings = settings;
    this.#serving = serving;
    this.addr = settings.socket ?? addrOf(serving.listener.addr);
    this.#sockets = this.#socketsOf(serving.fd);
    this.#spare = serving.kernel.duplicate(serving.fd, 0);
    this.#serveOn(serving.listener, FIRST_PAUSE);
  }

  /** Serves on a listener. `pause` is the time to wait before the next try if that fails at once. */
  #serveOn(listener: DenoListener, pause: number): void {
    const { core, serveHttpOnListener } = this.#serving.serving;
    const start = performance.now();
    const resource = internals.servingResource(core, () => {
      const server = serveHttpOnListener(
        listener,
        undefined,
        this.#onRequest,
        async (error) => await this.#settings.onError(error),
        () => {},
      );
      this.#servers.push(server);
      server.finished.catch((error) => {
        const hasWorked = performance.now() - start > LONGEST_PAUSE;
        this.#acceptFailed(error, hasWorked ? FIRST_PAUSE : pause);
      });
    });
    this.#resources.push(resource);
  }

  #acceptFailed(error: unknown, pause: number): void {
    if (this.#isListenerClosed) return;
    if (performance.now() - this.#reportedAt >= REPORT_INTERVAL) {
      this.#reportedAt = performance.now();
      // To format the stack Deno opens files, and it panics without a descriptor for them.
      if (error instanceof Error) error.stack = `${error.name}: ${error.message}`;
      void this.#settings.onError(error);
    }
    const next = Math.min(2 * pause, LONGEST_PAUSE);
    this.#restarting = setTimeout(() => {
      try {
        this.#acceptAgain(next);
      } catch (error) {
        this.#acceptFailed(error, next);
      }
    }, pause);
  }

  /** Opens another listener of Deno, and puts the socket of the first one in its place. */
  #acceptAgain(pause: number): void {
    const { kernel } = this.#serving;
    const { made, fd } = kernel.opening(
      this.#serving.listenElsewhere,
      ({ addr }) => addrOf(addr),
      (listener) => listener.close(),
    );
    const spare = kernel.duplicate(this.#spare, 0);
    if (fd === undefined || spare < 0 || !kernel.replaceListener(spare, fd)) {
      made.close();
      if (spare >= 0) kernel.close(spare);
      throw new Error("Cannot accept again: no descriptor is left");
    }
    this.#sockets = this.#socketsOf(fd);
    this.#serveOn(made, pause);
  }

  #socketsOf(fd: number): ServerSockets {
    const { kernel, strangers } = this.#serving;
    return new ServerSockets(kernel, new Map([[kernel.cookieOf(fd), fd]]), strangers);
  }

  acceptOn(): never {
    throw new Error("Cannot accept on another socket: the accept loop does that");
  }

  #onRequest = (request: Request, native: DenoInfo): Response | Promise<Response> => {
    const exchange = new KernelExchange(request, native, this.#settings);
    if (isHttp2(request)) this.#recordHttp2(exchange);
    // Deno forgets the address when it upgrades the connection.
    else if (internals.headerOf(request, "upgrade") !== null) void exchange.remoteAddr;
    if (this.onChange !== undefined || this.endsConnections) {
      const refusal = this.#arriveLate(exchange);
      if (refusal !== undefined) return refusal;
    }
    if (!isReceivable(request, exchange.claimed)) return this.#last(exchange, badRequest());
    try {
      const response = this.#handler(request, exchange);
      if (!(response instanceof Promise)) return this.#answer(exchange, response);
      this.#flights.add(exchange);
      exchange.markPending();
      return response.then(
        (response) => this.#answerOrFail(exchange, response),
        (error) => this.#fail(exchange, error),
      );
    } catch (error) {
      return this.#fail(exchange, error);
    }
  };

  #recordUnread(exchange: KernelExchange): void {
    this.#unread.add(keyOf(exchange.remoteAddr));
    this.#prune();
  }

  /** Forgets what was recorded of connections that have closed. */
  #prune(): void {
    const size = () => this.#unread.size + this.#http2.size + this.#webSockets.size;
    if (size() < this.#pruneAt) return;
    const open = new Set(this.#sockets.connections().map(({ remoteAddr }) => keyOf(remoteAddr)));
    for (const recorded of [this.#unread, this.#http2, this.#webSockets]) {
      for (const key of recorded.keys()) {
        if (!open.has(key)) recorded.delete(key);
      }
    }
    this.#pruneAt = Math.max(PRUNE_AT, 2 * size());
  }

  #recordHttp2(exchange: KernelExchange): void {
    const key = keyOf(exchange.remoteAddr);
    this.#http2.add(key);
    this.#prune();
    const conn = this.#byKey.get(key);
    if (conn !== undefined) conn.isHttp2 = true;
  }

  /** Records a request that comes during a drain or before one. Returns a response if it is refused. */
  #arriveLate(exchange: KernelExchange): Response | undefined {
    const conn = this.#link(exchange);
    const { request } = exchange;
    if (conn?.isClosing === true && !conn.isHttp2) {
      // The request was pipelined behind the last one, whose response has been written.
      conn.destroy();
      return unavailable();
    }
    this.#flights.add(exchange);
    conn?.flights.add(exchange);
    const isLate = this.onChange !== undefined && isUpgrade(request);
    return isLate ? this.#last(exchange, unavailable()) : undefined;
  }

  /** Finds the connection of a request among the known ones. */
  #link(exchange: KernelExchange): KernelConnection | undefined {
    const conn = this.#byKey.get(keyOf(exchange.remoteAddr));
    if (conn !== undefined && !conn.isClosed) exchange.conn = conn;
    return exchange.conn;
  }

  #answerOrFail(exchange: KernelExchange, response: Response): Response | Promise<Response> {
    try {
      return this.#answer(exchange, response);
    } catch (error) {
      return this.#fail(exchange, error);
    }
  }

  async #fail(exchange: KernelExchange, error: unknown): Promise<Response> {
    this.#flights.add(exchange);
    return this.#answer(exchange, await this.#settings.onError(error));
  }

  /** Prepares a response to be sent. */
  #answer(exchange: KernelExchange, response: Response): Response {
    refuseUnsendable(response);
    const isStatic = streamLargeBody(response);
    if (response.status === 101) return this.#hijack(exchange, response);
    if (this.endsConnections && exchange.conn?.isHttp2 !== true) {
      return this.#last(exchange, response);
    }
    if (isUnread(exchange.request, exchange.claimed)) this.#recordUnread(exchange);
    this.#followResponse(exchange, isStatic || response.body === null);
    return response;
  }

  /** Records when the response is delivered. Deno sends a static response in this turn. */
  #followResponse(exchange: KernelExchange, isStatic: boolean): void {
    if (this.onChange === undefined && isStatic) {
      this.#flights.delete(exchange);
      exchange.conn?.flights.delete(exchange);
      return;
    }
    this.#flights.add(exchange);
    exchange.markPending();
    const over = () => this.#over(exchange);
    exchange.native.completed.then(over, over);
  }

  #over(exchange: KernelExchange): void {
    this.#flights.delete(exchange);
    const { conn } = exchange;
    if (conn === undefined) return this.onChange?.();
    conn.flights.delete(exchange);
    if (!this.#removeIfGone(conn)) this.conns.changed(conn);
  }

  #last(exchange: KernelExchange, response: Response): Response {
    const { request, claimed, conn } = exchange;
    const isLeftUnread = isUnread(request, claimed);
    if (conn !== undefined) conn.isClosing = true;
    const key = keyOf(exchange.remoteAddr);
    const end = () => {
      this.#over(exchange);
      const known = conn ?? this.#byKey.get(key);
      if (known === undefined) this.#endLater(key, isLeftUnread);
      else endAfterLast(known, isLeftUnread);
    };
    exchange.native.completed.then(end, end);
    return lastOf(request, response);
  }

  /**
   * Ends a connection that is not known yet. All connections are looked up at once, and not more often than
   * once per {@linkcode WATCH_INTERVAL} ms, because a look takes longer the more connections there are.
   */
  #endLater(key: string, isLeftUnread: boolean): void {
    if (this.#isListenerClosed) return;
    this.#unknown.set(key, isLeftUnread);
    this.#finding ??= setTimeout(() => {
      this.#finding = undefined;
      this.#refresh();
      for (const [key, isLeftUnread] of this.#unknown) {
        const conn = this.#byKey.get(key);
        if (conn !== undefined) endAfterLast(conn, isLeftUnread);
      }
      this.#unknown.clear();
    }, WATCH_INTERVAL);
  }

  #hijack(exchange: KernelExchange, response: Response): Response {
    this.#flights.delete(exchange);
    const socket = internals.webSocketOf(response);
    if (socket === undefined) return response;
    const key = keyOf(exchange.remoteAddr);
    this.#webSockets.set(key, socket);
    this.#prune();
    const { conn } = exchange;
    conn?.flights.delete(exchange);
    if (conn !== undefined) conn.webSocket = socket;
    socket.addEventListener("open", () => {
      if (this.onChange !== undefined) socket.close(GOING_AWAY);
    });
    socket.addEventListener("close", () => {
      this.#webSockets.delete(key);
      const conn = this.#byKey.get(key);
      if (conn !== undefined) this.#watchEnd(conn);
    });
    return response;
  }

  override startLameDuck(): void {
    super.startLameDuck();
    this.#refresh();
  }

  override startDrain(onChange: () => void): void {
    super.startDrain(onChange);
    this.#closeListener = this.#sockets.closingListener(false);
    this.#refresh();
  }

  waitingToBeAccepted(): number | undefined {
    return this.#sockets.waiting;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    if (this.#sockets.waiting === undefined) return takeInAcceptQueue(UNKNOWN_QUEUE, force);
    return this.#sockets.emptyAcceptQueue(force);
  }

  closeListeners(): void {
    if (this.#isListenerClosed) return;
    this.#isListenerClosed = true;
    clearTimeout(this.#restarting);
    attempt(() => this.#closeListener?.());
    this.#serving.kernel.close(this.#spare);
    this.#refresh();
    this.#watch();
  }

  /** Finds the connections that are new, and forgets those that are gone. */
  #refresh(): void {
    this.#sockets.connectionsClosed();
    this.#removeGone();
    for (const found of this.#sockets.connections()) {
      const key = keyOf(found.remoteAddr);
      const known = this.#byKey.get(key);
      if (known !== undefined && !known.isClosed) continue;
      const conn = new KernelConnection(found, this.#serving.kernel, this.#events);
      conn.isUnread = this.#unread.has(key);
      conn.isHttp2 = this.#http2.has(key);
      conn.webSocket = this.#webSockets.get(key);
      this.#byKey.set(key, conn);
      this.conns.add(conn);
    }
    for (const exchange of this.#flights) {
      if (exchange.conn !== undefined) continue;
      this.#link(exchange)?.flights.add(exchange);
      if (this.onChange !== undefined) {
        const over = () => this.#over(exchange);
        exchange.native.completed.then(over, over);
      }
    }
  }

  #removeGone(): void {
    for (const conn of [...this.conns]) this.#removeIfGone(conn);
  }

  #removeIfGone(conn: KernelConnection): boolean {
    if (!conn.isGone) return false;
    conn.gone();
    this.#ending.delete(conn);
    const key = keyOf(conn.remoteAddr);
    if (this.#byKey.get(key) === conn) this.#byKey.delete(key);
    this.conns.delete(conn);
    return true;
  }

  /** Looks in the next turns of the event loop whether a connection has closed. */
  #watchEnd(conn: KernelConnection): void {
    this.#ending.add(conn);
    if (this.#looking !== undefined) return;
    let pause = 0;
    const look = () => {
      for (const conn of this.#ending) this.#removeIfGone(conn);
      pause = Math.min(pause + 1, WATCH_INTERVAL);
      const isLeft = this.#ending.size > 0 && !this.#isOver;
      this.#looking = isLeft ? setTimeout(look, pause) : undefined;
    };
    this.#looking = setTimeout(look, 0);
  }

  /** Looks for connections whose clients have closed them, for less than 5 % of the time. */
  #watch(): void {
    if (this.#isOver) return;
    const start = performance.now();
    this.#removeGone();
    const pause = Math.max(WATCH_INTERVAL, WATCH_SHARE * (performance.now() - start));
    this.#watching = setTimeout(() => this.#watch(), pause);
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!policy.onlyChanged) this.#removeGone();
    const isQuiescent = super.closeIdleConns(now, policy) && this.#flights.size === 0;
    if (isQuiescent) this.#finish();
    return isQuiescent;
  }

  /**
   * Sends GOAWAY with Deno's own graceful stop, which also closes every connection without a request: so not
   * before each connection has sent its request.
   */
  #endHttp2(): void {
    if (this.#isStopped) return;
    for (const conn of this.conns) {
      if (conn.state() === "new" || (conn.isHttp2 && conn.flights.size > 0)) return;
      const [flight] = conn.flights;
      if (flight !== undefined && flight.claimed !== undefined) return;
    }
    this.#isStopped = true;
    for (const server of this.#servers) server.shutdown().catch(reportError);
  }

  /** Releases what Deno keeps of the server. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#watching);
    clearTimeout(this.#looking);
    clearTimeout(this.#finding);
    this.#closeResources();
    if (this.#isStopped || !this.#resources.includes(-1)) return;
    for (const server of this.#servers) server.shutdown().catch(reportError);
  }

  override async closeAll(): Promise<void> {
    this.closeListeners();
    this.#sockets.listenerClosed();
    const closed = super.closeAll();
    this.#closeResources();
    for (const conn of [...this.conns]) this.#watchEnd(conn);
    await closed;
    this.#flights.clear();
    this.#finish();
  }

  #closeResources(): void {
    for (const resource of this.#resources) this.#serving.serving.core.tryClose(resource);
  }

  override connections(now: number): ConnInfo[] {
    if (!this.#isListenerClosed) this.#refresh();
    // The client of such a request has left, and its handler works.
    const orphans = [...this.#flights].filter(({ conn }) => conn === undefined);
    return [...super.connections(now), ...orphans.map((exchange) => exchange.snapshot(now))];
  }
}

/** Ends a connection whose last response has been passed to Deno. */
function endAfterLast(conn: KernelConnection, isLeftUnread: boolean): void {
  conn.isClosing = true;
  if (isLeftUnread) conn.linger();
  else conn.end();
}
