/**
 * The engine `"deno"` with the help of the kernel: one server of Deno for all connections, as `Deno.serve` has. Deno
 * shows no connection then. The kernel shows them when a drain starts, and closes single ones.
 */
import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import type { StartedDriver } from "../../server/driver.ts";
import { badRequest } from "../../server/last_response.ts";
import type { Refable } from "../../server/native_server.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { TableDriver } from "../../server/table_driver.ts";
import { WebSocketLife } from "../../server/web_socket_life.ts";
import {
  type Answer,
  type Engine,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import { addrOf, type DenoInfo } from "../api/deno.ts";
import type { AcceptedSocket } from "../linux/accepted_sockets.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import { streamLargeBody } from "./body.ts";
import { type Client, Clients } from "./clients.ts";
import { internals } from "./internals.ts";
import { KernelAcceptor, type KernelServing } from "./kernel_acceptor.ts";
import { KernelConnection, type KernelConnectionEvents } from "./kernel_connection.ts";
import { KernelExchange } from "./kernel_exchange.ts";
import { KernelExpiry } from "./kernel_expiry.ts";
import { lastOf } from "./last_response.ts";
import { Looks } from "./looks.ts";
import { isReceivable, isUnread } from "./upload.ts";

/** The number of recorded clients at which those without a connection are first forgotten. */
const PRUNE_AT = 1_024;

/**
 * The number of ms after which a WebSocket that has not opened is given up: its client has left, which Deno
 * does not report.
 */
const OPENING = 1_000;

/**
 * The driver of a server whose connections the kernel shows. It knows the connections during a drain and during a lame
 * duck, and otherwise looks at them when it is asked. While it knows them it knows the connection of each request.
 */
export class KernelDriver extends TableDriver<KernelConnection> implements StartedDriver {
  readonly engine: Engine = "deno";
  readonly scheme = "http";
  readonly addr: Addr;
  readonly #handler: Handler;
  readonly #settings: ServeSettings;
  readonly #kernel: KernelSockets;
  readonly #acceptor: KernelAcceptor;
  readonly #clients = new Clients<KernelConnection>();
  /** The requests in flight, except for those that were answered in the turn in which they came. */
  readonly #flights = new Set<KernelExchange>();
  /** The request whose handler is being called. */
  #current: KernelExchange | undefined;
  /** The connections that the driver knows, by the cookies of their sockets. */
  readonly #byCookie = new Map<bigint, KernelConnection>();
  /** Whether the connections stay known, because a lame duck or a drain has started. */
  #isWatching = false;
  #isListenerClosed = false;
  /** The clients whose idle connections are to end when they are found, see `#endLater`. */
  readonly #toEnd = new Set<Client<KernelConnection>>();
  #pruneAt = PRUNE_AT;
  /** Whether the sessions of HTTP/2 can end, for as long as the caller has not yielded. */
  #canEndSessions: boolean | undefined;
  #isFinding = false;
  #isOver = false;
  readonly #looks = new Looks<KernelConnection>({
    all: () => [...this.conns],
    removeIfGone: (conn) => this.#removeIfGone(conn),
    changed: (conn) => this.conns.changed(conn),
  });
  readonly #kernelExpiry: KernelExpiry;
  readonly #events: KernelConnectionEvents = {
    onEnding: (conn) => this.#looks.watchEnd(conn),
    endSessions: () => this.#endSessions(),
    lookAgain: (conn, after) => this.#looks.lookAgain(conn, after),
  };

  constructor(handler: Handler, settings: ServeSettings, serving: KernelServing) {
    super();
    this.#handler = handler;
    this.#settings = settings;
    this.#kernel = serving.kernel;
    this.addr = addrOf(serving.listener.addr);
    this.#acceptor = new KernelAcceptor(serving, {
      onRequest: this.#onRequest,
      onError: settings.onError,
    });
    this.#kernelExpiry = new KernelExpiry(serving.kernel, serving.accepted, settings.limits, {
      expire: (sockets) => this.#expire(sockets),
      lastStreamAt: (client) => this.#lastStreamAt(client),
    });
  }

  get native(): undefined {
    return undefined;
  }

  get handles(): readonly Refable[] {
    return [this.#acceptor];
  }

  acceptOn(): never {
    throw new Error("A server whose connections the kernel shows accepts on its own listener");
  }

  #onRequest = (request: Request, native: DenoInfo): Response | Promise<Response> => {
    const exchange = new KernelExchange(request, native, this.#settings);
    const before = this.#current;
    this.#current = exchange;
    try {
      return this.#serve(exchange);
    } finally {
      this.#current = before;
    }
  };

  #serve(exchange: KernelExchange): Response | Promise<Response> {
    const refusal = this.#record(exchange);
    if (refusal !== undefined) return refusal;
    const { request, claimed } = exchange;
    if (!isReceivable(request, claimed)) return this.#last(exchange, badRequest());
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
  }

  /** Records what a request tells of its client. Returns a response if the request is not to be processed. */
  #record(exchange: KernelExchange): Response | undefined {
    if (this.#isWatching) return this.#arrive(exchange);
    if (exchange.protocol === "http1") {
      if (this.#clients.size > 0) this.#clients.at(exchange.remoteAddr)?.record(exchange);
    } else {
      this.#clients.of(exchange.remoteAddr).record(exchange);
      this.#prune();
    }
    return undefined;
  }

  /** Forgets what was recorded of connections that have closed, now and then. */
  #prune(): void {
    if (this.#isWatching || this.#clients.size < this.#pruneAt) return;
    this.#refresh();
    this.#forget();
    this.#pruneAt = Math.max(PRUNE_AT, 2 * this.#clients.size);
  }

  /** Does the same while the connections are known, and finds the connection of the request. */
  #arrive(exchange: KernelExchange): Response | undefined {
    const client = this.#clients.of(exchange.remoteAddr);
    const { onlyConn } = client;
    if (onlyConn?.isLastPassed === true && !onlyConn.isClosed) {
      // The request was pipelined behind the last one, or has crossed the close of an idle connection.
      onlyConn.destroy();
      return unavailable();
    }
    client.record(exchange);
    this.#link(exchange, client);
    if (this.#isListenerClosed) exchange.conn = onlyConn;
    const isLate = this.onChange !== undefined &&
      isUpgrade(internals.headerOf(exchange.request, "upgrade"));
    return isLate ? this.#last(exchange, unavailable()) : undefined;
  }

  #link(exchange: KernelExchange, client: Client<KernelConnection>): void {
    exchange.client = client;
    client.exchanges.add(exchange);
    this.#flights.add(exchange);
    const { onlyConn } = client;
    if (onlyConn !== undefined && exchange.protocol === "http1") onlyConn.isHttp1 = true;
  }

  #answerOrFail(exchange: KernelExchange, response: Answer): Response | Promise<Response> {
    try {
      return this.#answer(exchange, response);
    } catch (error) {
      return this.#fail(exchange, error);
    }
  }

  async #fail(exchange: KernelExchange, error: unknown): Promise<Response> {
    this.#follow(exchange);
    return this.#answer(exchange, await this.#settings.onError(error));
  }

  /** Prepares a response to be sent. */
  #answer(exchange: KernelExchange, response: Answer): Response {
    refuseUnsendable(response);
    const isStatic = streamLargeBody(response);
    if (response.status === 101) return this.#hijack(exchange, response);
    if (this.endsConnections && exchange.protocol !== "http2") {
      return this.#last(exchange, response);
    }
    this.#recordUnread(exchange);
    // Deno sends a static response in this turn.
    const isSent = (isStatic || response.body === null) && exchange.protocol === "http1";
    if (this.#isWatching || !isSent) this.#followAnswer(exchange);
    else if (exchange.isPending) this.#flights.delete(exchange);
    return response;
  }

  #last(exchange: KernelExchange, response: Response): Response {
    exchange.isLast = true;
    const { conn, client, protocol } = exchange;
    const isOnly = conn !== undefined && client?.onlyConn === conn && client.exchanges.size === 1;
    if (isOnly && protocol === "http1") conn.isLastPassed = true;
    this.#recordUnread(exchange);
    this.#followAnswer(exchange);
    return lastOf(exchange.request, response);
  }

  #recordUnread(exchange: KernelExchange): void {
    exchange.isUnread = isUnread(exchange.request, exchange.claimed);
    if (exchange.isUnread) this.#clients.of(exchange.remoteAddr).isUnread = true;
    if (exchange.isUnread) this.#prune();
  }

  /** Records when the response is delivered that Deno is about to get. */
  #followAnswer(exchange: KernelExchange): void {
    exchange.isAnswered = true;
    this.#follow(exchange);
    // The handler has upgraded the connection, and has failed after that: Deno announces nothing.
    if (internals.isDelivered(exchange.native)) queueMicrotask(() => this.#over(exchange));
  }

  /** Records when the response is delivered. To be called before it is: Deno announces it only then. */
  #follow(exchange: KernelExchange): void {
    this.#flights.add(exchange);
    exchange.markPending();
    if (exchange.isFollowed) return;
    exchange.isFollowed = true;
    const over = () => this.#over(exchange);
    exchange.native.completed.then(over, over);
  }

  #over(exchange: KernelExchange): void {
    this.#flights.delete(exchange);
    const { client } = exchange;
    client?.exchanges.delete(exchange);
    if (exchange.protocol !== "http1") this.#recordStreamEnd(exchange);
    if (exchange.isLast) this.#endAfter(exchange);
    if (client === undefined) return this.onChange?.();
    const answered = connAfter(exchange);
    if (answered !== undefined) answered.answeredAt = performance.now();
    for (const conn of [...client.conns]) {
      if (!this.#removeIfGone(conn)) this.conns.changed(conn);
    }
    if (client.conns.length === 0) this.onChange?.();
  }

  #recordStreamEnd({ remoteAddr }: KernelExchange): void {
    const client = this.#clients.at(remoteAddr);
    if (client !== undefined) client.lastAt = performance.now();
  }

  #lastStreamAt(addr: Addr | undefined): number | undefined {
    const client = addr && this.#clients.at(addr);
    return client?.protocol === "http2" ? client.lastAt : undefined;
  }

  /** Ends the connection of a request whose last response has been passed to Deno. */
  #endAfter(exchange: KernelExchange): void {
    if (exchange.protocol !== "http1") return;
    const conn = connAfter(exchange);
    if (conn === undefined) this.#endLater(this.#clients.of(exchange.remoteAddr));
    else if (exchange.isUnread) conn.linger();
    else conn.end("active");
  }

  /**
   * Ends the connections of a client when they are idle. All connections are looked up at once, and not too often,
   * because a look takes longer the more connections there are. The polls of a drain may spare what is idle.
   */
  #endLater(client: Client<KernelConnection>): void {
    this.#toEnd.add(client);
    if (this.#isFinding) return;
    this.#isFinding = true;
    this.#looks.repeat(() => {
      this.#refresh();
      for (const client of this.#toEnd) this.#endIdle(client);
      this.#forget();
      this.#isFinding = this.#toEnd.size > 0;
      return this.#isFinding;
    });
  }

  #endIdle(client: Client<KernelConnection>): void {
    for (const conn of client.conns) if (conn.state() === "idle") conn.closeIdle();
    if (client.conns.every((conn) => conn.isEnding || conn.client.isUnread)) {
      this.#toEnd.delete(client);
    }
  }

  #hijack(exchange: KernelExchange, response: Response): Response {
    const socket = internals.webSocketOf(response);
    if (socket === undefined) {
      // Nothing tells when such a connection ends but its socket.
      this.#follow(exchange);
      return response;
    }
    this.#flights.delete(exchange);
    exchange.client?.exchanges.delete(exchange);
    const client = this.#clients.of(exchange.remoteAddr);
    client.webSockets.add(socket);
    const life = new WebSocketLife();
    exchange.webSocketLife = life;
    this.#prune();
    socket.addEventListener("open", () => {
      for (const conn of client.conns) this.closeIfWebSocket(conn);
    });
    const onGone = () => {
      client.webSockets.delete(socket);
      life.end();
      for (const conn of client.conns) this.#looks.watchEnd(conn);
    };
    socket.addEventListener("close", onGone);
    const giveUp = () => {
      if (socket.readyState === WebSocket.CONNECTING) onGone();
    };
    const onDelivered = () => void setTimeout(giveUp, OPENING).unref();
    exchange.native.completed.then(onDelivered, giveUp);
    return response;
  }

  override startLameDuck(): void {
    super.startLameDuck();
    this.#startWatching();
  }

  override startDrain(onChange: () => void): void {
    super.startDrain(onChange);
    this.#acceptor.startDrain();
    this.#startWatching();
  }

  /** Knows the connections from now on. */
  #startWatching(): void {
    this.#isWatching = true;
    this.#refresh();
    for (const exchange of this.#flights) this.#follow(exchange);
    if (this.#current !== undefined) this.#follow(this.#current);
  }

  waitingToBeAccepted(): number | undefined {
    return this.#acceptor.waiting;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#acceptor.emptyAcceptQueue(force);
  }

  closeListeners(): void {
    if (this.#isListenerClosed) return;
    this.#isListenerClosed = true;
    attempt(() => this.#acceptor.closeListener());
    this.#isWatching = true;
    this.#refresh();
    for (const exchange of this.#flights) {
      const conn = exchange.client?.onlyConn;
      if (conn?.canHave(exchange)) exchange.conn = conn;
    }
    this.#looks.watchAll();
  }

  /** Finds the connections that are new, forgets those that are gone, and finds the connection of each request. */
  #refresh(): void {
    const sockets = this.#acceptor.accepted.all();
    const open = new Set(sockets.map(({ cookie }) => cookie));
    for (const conn of [...this.conns]) if (!open.has(conn.cookie)) this.#remove(conn);
    this.#know(sockets);
    this.#clients.forgetGone();
  }

  #know(sockets: Iterable<AcceptedSocket>): void {
    for (const socket of sockets) {
      const { cookie } = socket;
      if (this.#byCookie.has(cookie)) continue;
      const remoteAddr = this.#acceptor.accepted.clientOf(socket);
      // A connection that was reset has no address any more. Nothing is left to say on it.
      if (remoteAddr === undefined) continue;
      const client = this.#clients.of(remoteAddr);
      const conn = new KernelConnection(socket, remoteAddr, client, this.#kernel, this.#events);
      client.conns.push(conn);
      this.#byCookie.set(cookie, conn);
      this.conns.add(conn);
    }
    for (const exchange of this.#flights) this.#linkKnown(exchange);
    if (this.#current !== undefined) this.#linkKnown(this.#current);
  }

  #linkKnown(exchange: KernelExchange): void {
    if (exchange.client === undefined) {
      this.#link(exchange, this.#clients.of(exchange.remoteAddr));
    }
  }

  /** Forgets the connections, unless a lame duck or a drain has started. */
  #forget(): void {
    if (this.#isWatching) return;
    for (const conn of [...this.conns]) this.#unknow(conn);
    for (const exchange of this.#flights) exchange.client = undefined;
    this.#clients.forgetConns();
    if (this.#current !== undefined) {
      this.#current.client = undefined;
      this.#flights.delete(this.#current);
    }
  }

  #removeGone(): void {
    for (const conn of [...this.conns]) this.#removeIfGone(conn);
  }

  #removeIfGone(conn: KernelConnection): boolean {
    if (!conn.isGone) return false;
    this.#remove(conn);
    return true;
  }

  #remove(conn: KernelConnection): void {
    conn.stopLingering();
    this.#unknow(conn);
  }

  #unknow(conn: KernelConnection): void {
    this.#looks.forget(conn);
    this.#byCookie.delete(conn.cookie);
    const { conns } = conn.client;
    const index = conns.indexOf(conn);
    if (index >= 0) conns.splice(index, 1);
    this.conns.delete(conn);
  }

  /**
   * Starts Deno's own graceful stop if nothing but sessions of HTTP/2 without a stream, and WebSockets, is left: it closes
   * every other connection without a request, half-received heads included. Returns whether it has been started.
   */
  #endSessions(): boolean {
    if (!this.#isListenerClosed || this.onChange === undefined) return false;
    if (this.#canEndSessions === undefined) {
      const conns = [...this.conns];
      this.#canEndSessions = this.#flights.size === 0 &&
        conns.every((conn) => conn.isIdleSession || conn.state() === "hijacked");
      queueMicrotask(() => this.#canEndSessions = undefined);
    }
    if (this.#canEndSessions) this.#acceptor.stop();
    return this.#acceptor.isStopped;
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!policy.onlyChanged) this.#removeGone();
    const isQuiescent = super.closeIdleConns(now, policy) && this.#flights.size === 0;
    if (isQuiescent) this.#finish();
    return isQuiescent;
  }

  /** Closes those connections that have exceeded a time limit, as far as the kernel shows. */
  #expire(sockets: readonly AcceptedSocket[]): void {
    this.#know(sockets);
    const { idleTimeout } = this.#settings.limits;
    for (const { cookie } of sockets) this.#byCookie.get(cookie)?.expire(idleTimeout);
    this.#forget();
  }

  /** Releases what Deno keeps of the server. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#looks.stop();
    this.#kernelExpiry.stop();
    this.#acceptor.release();
  }

  override async closeAll(): Promise<void> {
    this.closeListeners();
    const closed = super.closeAll();
    this.#acceptor.release();
    for (const conn of [...this.conns]) this.#looks.watchEnd(conn);
    await closed;
    this.#flights.clear();
    this.#finish();
  }

  override connections(now: number): ConnInfo[] {
    if (!this.#isListenerClosed) this.#refresh();
    // The client of such a request has left, and its handler works.
    const orphans = [...this.#flights].filter(({ client }) => client?.conns.length === 0);
    const infos = [
      ...super.connections(now),
      ...orphans.map((exchange) => exchange.snapshot(now)),
    ];
    this.#forget();
    return infos;
  }
}

/** Returns the connection of a request that is over, if that is certain and no request is in flight on it. */
function connAfter({ conn, client }: KernelExchange): KernelConnection | undefined {
  return client?.exchanges.size === 0 && client.onlyConn === conn ? conn : undefined;
}
