/**
 * The engine `"deno"` with the help of the kernel: one server of Deno for all connections, as `Deno.serve`
 * has. Deno shows no connection then. The kernel shows them when a drain starts, and closes single ones.
 */
import { attempt } from "../../core/attempt.ts";
import { type Addr, keyOf } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
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
import { addrOf, type DenoInfo } from "../api/deno.ts";
import { takeInAcceptQueue, UNKNOWN_QUEUE } from "../host/accept_queue.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import type { ServerSockets } from "../linux/server_sockets.ts";
import { streamLargeBody } from "./body.ts";
import { ClientRecords } from "./client_records.ts";
import { internals } from "./internals.ts";
import { KernelAcceptor, type KernelServing } from "./kernel_acceptor.ts";
import { KernelConnection, type KernelConnectionEvents } from "./kernel_connection.ts";
import { KernelExchange } from "./kernel_exchange.ts";
import { lastOf } from "./last_response.ts";
import { isHttp2, isReceivable, isUnread } from "./upload.ts";

/** The least number of ms between two looks at which connections have closed. */
const WATCH_INTERVAL = 5;
/** The number of looks at connections that are closing in as many turns of the event loop. */
const QUICK_LOOKS = 20;
/** The longest time in ms of a look that is soon repeated: with many connections each look takes longer. */
const QUICK_LOOK = 0.2;
/** The least pause between two looks, as a multiple of the time that a look takes. */
const WATCH_SHARE = 20;

/** The driver of a server whose connections the kernel shows: it knows them from a drain or a lame duck on. */
export class KernelDriver extends TableDriver<KernelConnection> implements StartedDriver {
  readonly engine: Engine = "deno";
  readonly scheme = "http";
  readonly addr: Addr;
  readonly #handler: Handler;
  readonly #settings: ServeSettings;
  readonly #kernel: KernelSockets;
  readonly #acceptor: KernelAcceptor;
  readonly #records: ClientRecords = new ClientRecords(() => this.#sockets.connections());
  /** The requests in flight, except for those that were answered in the turn in which they came. */
  readonly #flights = new Set<KernelExchange>();
  readonly #byKey = new Map<string, KernelConnection>();
  /** The addresses of clients whose connections are to end when they are found, see `#endLater`. */
  readonly #unknown = new Map<string, boolean>();
  #finding: ReturnType<typeof setTimeout> | undefined;
  readonly #ending = new Set<KernelConnection>();
  #closeListener: (() => boolean) | undefined;
  #watching: ReturnType<typeof setTimeout> | undefined;
  #looking: ReturnType<typeof setTimeout> | undefined;
  /** Whether it is being looked whether connections have closed. */
  #isLooking = false;
  #isOver = false;
  #isListenerClosed = false;
  readonly #events: KernelConnectionEvents = {
    onEnding: (conn) => this.#watchEnd(conn),
    endHttp2: () => this.#endHttp2(),
  };

  constructor(handler: Handler, settings: ServeSettings, serving: KernelServing) {
    super();
    this.#handler = handler;
    this.#settings = settings;
    this.#kernel = serving.kernel;
    this.addr = settings.socket ?? addrOf(serving.listener.addr);
    this.#acceptor = new KernelAcceptor(serving, {
      onRequest: this.#onRequest,
      onError: settings.onError,
    });
  }

  get #sockets(): ServerSockets {
    return this.#acceptor.sockets;
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

  #recordHttp2(exchange: KernelExchange): void {
    const key = keyOf(exchange.remoteAddr);
    this.#records.addHttp2(key);
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
    if (isUnread(exchange.request, exchange.claimed)) {
      this.#records.addUnread(keyOf(exchange.remoteAddr));
    }
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
    this.#records.addWebSocket(key, socket);
    const { conn } = exchange;
    conn?.flights.delete(exchange);
    if (conn !== undefined) conn.webSocket = socket;
    socket.addEventListener("open", () => {
      if (this.onChange !== undefined) socket.close(GOING_AWAY);
    });
    socket.addEventListener("close", () => {
      this.#records.deleteWebSocket(key);
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
    attempt(() => this.#closeListener?.());
    this.#acceptor.listenerClosed();
    this.#refresh();
    this.#watch();
  }

  /** Finds the connections that are new, and forgets those that are gone. */
  #refresh(): void {
    this.#removeGone();
    for (const found of this.#sockets.connections()) {
      const key = keyOf(found.remoteAddr);
      const known = this.#byKey.get(key);
      if (known !== undefined && !known.isClosed) continue;
      const conn = new KernelConnection(found, this.#kernel, this.#events);
      conn.isUnread = this.#records.isUnread(key);
      conn.isHttp2 = this.#records.isHttp2(key);
      conn.webSocket = this.#records.webSocketOf(key);
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
    if (this.#isLooking) return;
    this.#isLooking = true;
    let looks = 0;
    const look = () => {
      const start = performance.now();
      for (const conn of this.#ending) this.#removeIfGone(conn);
      const took = performance.now() - start;
      this.#isLooking = this.#ending.size > 0 && !this.#isOver;
      if (!this.#isLooking) return;
      looks++;
      if (looks < QUICK_LOOKS && took < QUICK_LOOK) turnOfLoop().then(look);
      else this.#looking = setTimeout(look, Math.max(WATCH_INTERVAL, WATCH_SHARE * took));
    };
    turnOfLoop().then(look);
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
    for (const conn of this.conns) {
      if (conn.state() === "new" || (conn.isHttp2 && conn.flights.size > 0)) return;
      const [flight] = conn.flights;
      if (flight !== undefined && flight.claimed !== undefined) return;
    }
    this.#acceptor.stop();
  }

  /** Releases what Deno keeps of the server. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#watching);
    clearTimeout(this.#looking);
    clearTimeout(this.#finding);
    this.#acceptor.release();
  }

  override async closeAll(): Promise<void> {
    this.closeListeners();
    this.#sockets.listenerClosed();
    const closed = super.closeAll();
    this.#acceptor.release();
    for (const conn of [...this.conns]) this.#watchEnd(conn);
    await closed;
    this.#flights.clear();
    this.#finish();
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

const NOTHING = new Uint8Array();

/**
 * Resolves after a turn of the event loop in which Deno reads and writes. The shortest timer of Deno takes 2 ms, and
 * an immediate comes without such a turn.
 */
function turnOfLoop(): Promise<unknown> {
  return crypto.subtle.digest("SHA-1", NOTHING);
}
