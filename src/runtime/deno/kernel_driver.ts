/**
 * The engine `"deno"` with the help of the kernel. One server of Deno serves all connections, as with `Deno.serve`,
 * and does not show them. When a drain starts, the kernel shows the connections, and can close each of them.
 */
import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import type { Driver } from "../../server/driver.ts";
import { badRequest } from "../../server/last_response.ts";
import type { Refable } from "../../server/native_server.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { TableDriver } from "../../server/table_driver.ts";
import {
  type Answer,
  type Engine,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import { addrOf, type DenoInfo } from "../api/deno.ts";
import { connectionsToCome, takeInAcceptQueue } from "../host/accept_queue.ts";
import type { AcceptedSocket } from "../linux/accepted_sockets.ts";
import { streamLargeBody } from "./body.ts";
import { internals } from "./internals.ts";
import { KernelAcceptor, type KernelServing } from "./kernel_acceptor.ts";
import type { KernelConnection } from "./kernel_connection.ts";
import { KernelExchange } from "./kernel_exchange.ts";
import { IdleEnds } from "./idle_ends.ts";
import { KernelExpiry } from "./kernel_expiry.ts";
import { followWebSocket } from "./kernel_web_socket.ts";
import { KnownConnections } from "./known_connections.ts";
import { lastOf } from "./last_response.ts";
import { Looks } from "./looks.ts";
import { isReceivable, isUnread } from "./upload.ts";

/**
 * The driver of a server whose connections the kernel shows. The driver knows the connections, and the connection of
 * each request, during a lame-duck phase and a drain. At other times it looks the connections up when somebody asks
 * for them.
 */
export class KernelDriver extends TableDriver<KernelConnection> implements Driver {
  readonly engine: Engine = "deno";
  readonly scheme = "http";
  readonly addr: Addr;
  readonly #handler: Handler;
  readonly #settings: ServeSettings;
  readonly #acceptor: KernelAcceptor;
  readonly #known: KnownConnections;
  #isListenerClosed = false;
  readonly #idleEnds: IdleEnds;
  /** Whether the HTTP/2 sessions can end now. The value is kept only until the caller yields to the event loop. */
  #canEndSessions: boolean | undefined;
  #isOver = false;
  readonly #looks = new Looks<KernelConnection>({
    all: () => [...this.conns],
    removeIfGone: (conn) => this.#known.removeIfGone(conn),
    changed: (conn) => this.conns.changed(conn),
  });
  readonly #kernelExpiry: KernelExpiry;

  constructor(handler: Handler, settings: ServeSettings, serving: KernelServing) {
    super();
    this.#handler = handler;
    this.#settings = settings;
    this.addr = addrOf(serving.listener.addr);
    const { kernel, accepted } = serving;
    this.#known = new KnownConnections({
      conns: this.conns,
      kernel,
      accepted,
      events: {
        onEnding: (conn) => this.#looks.watchEnd(conn),
        endSessions: () => this.#endSessions(),
        lookAgain: (conn, after) => this.#looks.lookAgain(conn, after),
      },
      onForgotten: (conn) => this.#looks.forget(conn),
    });
    this.#idleEnds = new IdleEnds(this.#known, this.#looks);
    this.#acceptor = new KernelAcceptor(serving, {
      onRequest: this.#onRequest,
      onError: settings.onError,
    });
    this.#kernelExpiry = new KernelExpiry(kernel, accepted, settings.limits, {
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

  #onRequest = (request: Request, native: DenoInfo): Response | Promise<Response> => {
    const exchange = new KernelExchange(request, native, this.#settings);
    const before = this.#known.current;
    this.#known.current = exchange;
    try {
      return this.#serve(exchange);
    } finally {
      this.#known.current = before;
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
      this.#known.flights.add(exchange);
      exchange.markPending();
      return response.then(
        (response) => this.#answerOrFail(exchange, response),
        (error) => this.#fail(exchange, error),
      );
    } catch (error) {
      return this.#fail(exchange, error);
    }
  }

  /** Records what a request shows about its client. Returns a response if the request must not be processed. */
  #record(exchange: KernelExchange): Response | undefined {
    if (this.#known.isKept) return this.#arrive(exchange);
    if (exchange.protocol === "http1") {
      if (this.#known.clients.size > 0) {
        this.#known.clients.at(exchange.remoteAddr)?.record(exchange);
      }
    } else {
      this.#known.clients.of(exchange.remoteAddr).record(exchange);
      this.#known.prune();
    }
    return undefined;
  }

  /**
   * Records a request while the connections are known, and finds the connection of the request. Returns a
   * response if the request must not be processed.
   */
  #arrive(exchange: KernelExchange): Response | undefined {
    const client = this.#known.clients.of(exchange.remoteAddr);
    const { onlyConn } = client;
    if (onlyConn?.isLastPassed === true && !onlyConn.isClosed) {
      // The request was pipelined after the last request, or was sent before its client noticed that the
      // idle connection was closed.
      onlyConn.destroy();
      return unavailable();
    }
    client.record(exchange);
    this.#known.link(exchange, client);
    if (this.#isListenerClosed) exchange.conn = onlyConn;
    const isLate = this.onChange !== undefined &&
      isUpgrade(internals.headerOf(exchange.request, "upgrade"));
    return isLate ? this.#last(exchange, unavailable()) : undefined;
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
    if (this.#known.isKept || !isSent) this.#followAnswer(exchange);
    else if (exchange.isPending) this.#known.flights.delete(exchange);
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
    if (exchange.isUnread) this.#known.clients.of(exchange.remoteAddr).isUnread = true;
    if (exchange.isUnread) this.#known.prune();
  }

  /** Arranges that the delivery of a response is recorded. To be called right before the response is passed to Deno. */
  #followAnswer(exchange: KernelExchange): void {
    exchange.isAnswered = true;
    this.#follow(exchange);
    // The handler has upgraded the connection and then failed: Deno does not announce the delivery.
    if (internals.isDelivered(exchange.native)) queueMicrotask(() => this.#over(exchange));
  }

  /**
   * Arranges that the end of the request is recorded. To be called before the response is delivered, because
   * Deno announces no earlier delivery.
   */
  #follow(exchange: KernelExchange): void {
    this.#known.flights.add(exchange);
    exchange.markPending();
    if (exchange.isFollowed) return;
    exchange.isFollowed = true;
    const over = () => this.#over(exchange);
    exchange.native.completed.then(over, over);
  }

  #over(exchange: KernelExchange): void {
    this.#known.unlink(exchange);
    const { client } = exchange;
    if (exchange.protocol !== "http1") this.#recordStreamEnd(exchange);
    if (exchange.isLast) this.#endAfter(exchange);
    if (client === undefined) return this.onChange?.();
    const answered = connAfter(exchange);
    if (answered !== undefined) answered.answeredAt = performance.now();
    for (const conn of [...client.conns]) {
      if (!this.#known.removeIfGone(conn)) this.conns.changed(conn);
    }
    if (client.conns.length === 0) this.onChange?.();
  }

  #recordStreamEnd({ remoteAddr }: KernelExchange): void {
    const client = this.#known.clients.at(remoteAddr);
    if (client !== undefined) client.lastAt = performance.now();
  }

  #lastStreamAt(addr: Addr | undefined): number | undefined {
    const client = addr && this.#known.clients.at(addr);
    return client?.protocol === "http2" ? client.lastAt : undefined;
  }

  /** Ends the connection of a request whose last response has been passed to Deno. */
  #endAfter(exchange: KernelExchange): void {
    if (exchange.protocol !== "http1") return;
    const conn = connAfter(exchange);
    if (conn === undefined) this.#idleEnds.add(this.#known.clients.of(exchange.remoteAddr));
    else if (exchange.isUnread) conn.linger();
    else conn.end("active");
  }

  #hijack(exchange: KernelExchange, response: Response): Response {
    const socket = internals.webSocketOf(response);
    if (socket === undefined) {
      // Only the socket shows when such a connection ends.
      this.#follow(exchange);
      return response;
    }
    this.#known.unlink(exchange);
    followWebSocket(socket, exchange, this.#known.clients.of(exchange.remoteAddr), {
      onOpen: (conn) => this.closeIfWebSocket(conn),
      onGone: (conn) => this.#looks.watchEnd(conn),
    });
    this.#known.prune();
    return response;
  }

  override startLameDuck(): void {
    super.startLameDuck();
    this.#startWatching();
  }

  override startDrain(onChange: () => void, isShared?: boolean): void {
    super.startDrain(onChange, isShared);
    this.#acceptor.startDrain();
    this.#startWatching();
  }

  /** Starts to keep the connections known. */
  #startWatching(): void {
    this.#known.keep();
    for (const exchange of this.#known.flights) this.#follow(exchange);
    if (this.#known.current !== undefined) this.#follow(this.#known.current);
  }

  waitingToBeAccepted(): number | undefined {
    return connectionsToCome(this.#acceptor.queue);
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return takeInAcceptQueue(this.#acceptor.queue, force);
  }

  closeListeners(): void {
    if (this.#isListenerClosed) return;
    this.#isListenerClosed = true;
    attempt(() => this.#acceptor.closeListener());
    this.#known.keep();
    for (const exchange of this.#known.flights) {
      const conn = exchange.client?.onlyConn;
      if (conn?.canHave(exchange)) exchange.conn = conn;
    }
    this.#looks.watchAll();
  }

  /**
   * Starts Deno's own graceful stop if only HTTP/2 sessions without a stream and WebSockets are left. The stop would
   * close every other connection without a request, even if a head was half received. Returns whether the stop has been
   * started.
   */
  #endSessions(): boolean {
    if (!this.#isListenerClosed || this.onChange === undefined) return false;
    if (this.#canEndSessions === undefined) {
      const conns = [...this.conns];
      this.#canEndSessions = this.#known.flights.size === 0 &&
        conns.every((conn) => conn.isIdleSession || conn.state() === "hijacked");
      queueMicrotask(() => this.#canEndSessions = undefined);
    }
    if (this.#canEndSessions) this.#acceptor.stop();
    return this.#acceptor.isStopped;
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!policy.onlyChanged) this.#known.removeGone();
    const isQuiescent = super.closeIdleConns(now, policy) && this.#known.flights.size === 0;
    if (isQuiescent) this.#finish();
    return isQuiescent;
  }

  /** Closes the connections of sockets that have exceeded a time limit, as far as the kernel shows. */
  #expire(sockets: readonly AcceptedSocket[]): void {
    this.#known.know(sockets);
    const { idleTimeout } = this.#settings.limits;
    for (const socket of sockets) this.#known.ofSocket(socket)?.expire(idleTimeout);
    this.#known.forget();
  }

  /** Releases the resources that Deno holds for the server. */
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
    this.#known.flights.clear();
    this.#finish();
  }

  override connections(now: number): ConnInfo[] {
    if (!this.#isListenerClosed) this.#known.refresh();
    // The client of such a request has left, and its handler is still working.
    const orphans = [...this.#known.flights].filter(({ client }) => client?.conns.length === 0);
    const infos = [
      ...super.connections(now),
      ...orphans.map((exchange) => exchange.snapshot(now)),
    ];
    this.#known.forget();
    return infos;
  }
}

/**
 * Returns the connection of a request that is over, if it is certain which connection that is and no request
 * is in flight on it.
 */
function connAfter({ conn, client }: KernelExchange): KernelConnection | undefined {
  return client?.exchanges.size === 0 && client.onlyConn === conn ? conn : undefined;
}
