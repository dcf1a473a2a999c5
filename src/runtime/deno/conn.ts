import { type ConnState, inFlight, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { LimitedConn } from "../../server/expiry.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import {
  type Answer,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import { streamLargeBody } from "./body.ts";
import { Exchange, type ExchangeConn } from "./exchange.ts";
import { type Exchanges, Http1Exchanges, Http2Streams } from "./exchanges.ts";
import { type ConnectionServing, internals } from "./internals.ts";
import { isHttp2, isReceivable } from "./upload.ts";
import { addrOf, type DenoConn, type DenoHttpServer, type DenoInfo } from "../api/deno.ts";
import { badRequest } from "../../server/last_response.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { LINGER } from "../../server/linger.ts";
import { WebSocketLife } from "../../server/web_socket_life.ts";

/** The objects that the connections of one server share. */
export interface Hosting {
  readonly serving: ConnectionServing;
  readonly handler: Handler;
  readonly settings: ServeSettings;
  /** Called by each connection when the connection is gone. */
  onGone(conn: DenoConnection): void;
  /** Called by each connection that has become a WebSocket. */
  onWebSocket(conn: DenoConnection): void;
  /** Cuts off the connection of a client. Deno itself would keep the connection for as long as the client likes. */
  cut(client: Addr): void;
  /** Returns how many ms ago the last bytes of a client arrived; undefined if that is unknown. */
  receivedAgo(client: Addr): number | undefined;
  /** Returns whether each response is the last response of its connection. */
  endsConnections(): boolean;
  /**
   * Returns the function to call when a connection may have become idle, or undefined until the drain
   * starts.
   */
  draining(conn: DenoConnection): (() => void) | undefined;
}

const nothing = () => {};

/** An accepted connection with Deno's HTTP on it. The state is computed from its requests at each call. */
export class DenoConnection implements LimitedConn, ExchangeConn {
  readonly acceptedAt: number = performance.now();
  readonly #peer: DenoConn["remoteAddr"];
  readonly #hosting: Hosting;
  /** The accepted connection during its TLS handshake, otherwise undefined. */
  #handshaking: DenoConn | undefined;
  #serving: DenoHttpServer | undefined;
  /** The id of the resource behind `#serving`, or -1, the id of no resource, if the id is unknown. */
  #resource = -1;
  #exchanges: Exchanges = new Http1Exchanges();
  /** The newest request, or undefined before the first request. */
  #newest: Exchange | undefined;
  requests = 0;
  /** Deno does not show whether a part of a head has arrived. */
  readonly isMidHead = false;
  /** Whether Deno was told to shut the connection down. The shutdown cannot be sped up afterwards. */
  #isEnding = false;
  /** Whether `destroy` was called. After that, the connection does not wait for its handlers. */
  #isForced = false;
  /** The number of pending promises of handlers. The connection waits for them even without its client. */
  #handling = 0;
  #hasEnded = false;
  #isGone = false;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  #webSocket: WebSocket | undefined;
  /** The life of the WebSocket; undefined until something waits for its end. */
  #life: WebSocketLife | undefined;

  constructor(peer: DenoConn["remoteAddr"], hosting: Hosting) {
    this.#hosting = hosting;
    this.#peer = peer;
    this.#announce("new");
  }

  get remoteAddr(): Addr {
    return addrOf(this.#peer);
  }

  /** Starts to serve HTTP on the accepted connection; with TLS, after the handshake. */
  async serve(accepted: DenoConn): Promise<void> {
    if (accepted.handshake === undefined) return this.#serveHttp(accepted);
    this.#handshaking = accepted;
    try {
      const { alpnProtocol } = await accepted.handshake();
      if (alpnProtocol === "h2") this.#speakHttp2();
    } catch {
      // The handshake failed, or destroy() has closed the connection.
      return this.destroy();
    }
    if (this.#handshaking === undefined) return;
    this.#handshaking = undefined;
    this.#serveHttp(accepted);
  }

  #serveHttp(accepted: DenoConn): void {
    const { serving: { core, serveHttpOnConnection }, settings } = this.#hosting;
    this.#resource = internals.servingResource(core, () => {
      this.#serving = serveHttpOnConnection(
        accepted,
        undefined,
        this.#onRequest,
        async (error) => this.#finish(await settings.onError(error)),
        nothing,
      );
    });
    const end = () => {
      // A WebSocket calls #gone when it closes, but a WebSocket that never opened fires no "close".
      const isOpen = this.#webSocket !== undefined &&
        this.#webSocket.readyState !== WebSocket.CONNECTING;
      if (isOpen) return;
      this.#hasEnded = true;
      if (this.#handling === 0 || this.#isForced) this.#gone();
    };
    this.#serving?.finished.then(end, end);
  }

  #onRequest = (request: Request, native: DenoInfo): Response | Promise<Response> => {
    if (this.#exchanges.isClosing) return this.#dropPipelined();
    this.#stopLingering();
    const { handler, settings } = this.#hosting;
    const exchange = new Exchange(request, native, this, settings);
    const isFirst = this.#newest === undefined;
    this.#newest = exchange;
    this.requests++;
    // With TLS, the handshake has already chosen the protocol.
    if (isFirst && settings.tls === undefined && isHttp2(request)) this.#speakHttp2();
    this.#exchanges.begin(exchange);
    if (settings.onConnState !== undefined) this.#announceExchange(exchange);
    if (!isReceivable(request, exchange.claimed)) return this.#endAfter(badRequest());
    const isLate = this.#isGone ||
      (this.#hosting.draining(this) !== undefined &&
        isUpgrade(internals.headerOf(request, "upgrade")));
    const response = isLate ? unavailable() : handler(request, exchange);
    if (!(response instanceof Promise)) return this.#finish(response);
    this.#handling++;
    return response.then(this.#answered, this.#failed);
  };

  #answered = (response: Answer): Response => {
    this.#settled();
    return this.#finish(response);
  };

  #failed = (error: unknown): never => {
    this.#settled();
    throw error;
  };

  #settled(): void {
    this.#handling--;
    if (this.#hasEnded && this.#handling === 0) this.#gone();
  }

  /**
   * Ends the connection instead of processing a request that was pipelined after the last request. The
   * last response has been written completely by now.
   */
  #dropPipelined(): Promise<Response> {
    this.#hosting.serving.core.tryClose(this.#resource);
    return new Promise(() => {});
  }

  /** Prepares a response to be sent. */
  #finish = (response: Answer): Response => {
    // Deno refuses such a response too, but its error cannot be caught if the handler returned a promise.
    refuseUnsendable(response);
    streamLargeBody(response);
    if (response.status === 101) this.#hijack(response);
    else if (this.#hosting.endsConnections()) return this.#endAfter(response);
    else this.#exchanges.answered();
    return response;
  };

  #endAfter(response: Response): Response {
    return this.#exchanges.last(response, (isUnread) => isUnread ? this.#linger() : this.#end());
  }

  #speakHttp2(): void {
    this.#exchanges = new Http2Streams(() => this.#hosting.draining(this)?.());
  }

  /**
   * Follows the WebSocket that belongs to a response, if there is one. When HTTP on a single connection
   * ends, Deno ends its WebSocket too. The resource of HTTP is therefore closed before that, and Deno then
   * finds nothing to end: when the WebSocket is open, or with TLS, where HTTP ends first, when the response is
   * delivered.
   */
  #hijack(response: Response): void {
    const socket = internals.webSocketOf(response);
    if (socket === undefined) return;
    this.#webSocket = socket;
    const { serving: { core }, settings } = this.#hosting;
    const endHttp = () => core.tryClose(this.#resource);
    if (settings.tls !== undefined) this.#newest?.native.completed.then(endHttp, endHttp);
    socket.addEventListener("open", () => {
      endHttp();
      this.#announce("hijacked");
      this.#hosting.onWebSocket(this);
    });
    socket.addEventListener("close", () => this.#gone());
  }

  endRequest(release: () => void): void {
    if (this.#webSocket === undefined || this.#isGone) release();
    else (this.#life ??= new WebSocketLife()).onEnd(release);
  }

  state(): ConnState {
    if (this.#webSocket !== undefined) return "hijacked";
    if (this.#newest === undefined) return "new";
    return this.#exchanges.isActive || this.#handling > 0 ? "active" : "idle";
  }

  isReceiving(ms: number): boolean {
    if (this.#newest?.isUnread !== true) return false;
    return (this.#hosting.receivedAgo(this.remoteAddr) ?? Infinity) < ms;
  }

  request(): RequestInFlight | undefined {
    const { oldest } = this.#exchanges;
    return this.#handling > 0 || oldest?.isInFlight ? oldest?.inFlight() : undefined;
  }

  closeWebSocket({ code, reason }: ClosingHandshake): boolean {
    const socket = this.#webSocket;
    if (socket === undefined || socket.readyState === WebSocket.CONNECTING) return false;
    internals.closeWebSocket(socket, code, reason);
    return true;
  }

  startDrain(onChange: () => void): void {
    this.#exchanges.startDrain(onChange);
  }

  /**
   * Closes a connection without a request in flight. Deno does so at once, or after the rest of a small
   * response.
   *
   * With HTTP/2, the GOAWAY is sent only here. If it were sent while streams are in flight, Deno would cut
   * these streams off as soon as the client answers with its own GOAWAY, as Node's client does: h2 before
   * 0.4.14 applies the client's GOAWAY to the server's streams (https://github.com/hyperium/h2/pull/886).
   */
  closeIdle(): void {
    if (this.#newest === undefined) this.destroy();
    else if (this.#newest.isUnread) this.#linger();
    else this.#end();
  }

  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    // The shutdown fails if the connection fails, and then `finished` settles as well.
    this.#serving?.shutdown().catch(nothing);
  }

  /**
   * Destroys the connection after {@linkcode LINGER} ms, in which the client may keep sending an unread
   * upload, so that the response reaches the client. A shutdown by Deno would last until the client has sent
   * the whole upload, and nothing could shorten it.
   */
  #linger(): void {
    this.#lingering ??= setTimeout(() => this.destroy(), LINGER);
  }

  /** Keeps the connection open, because a new request shows that the client has sent the whole upload. */
  #stopLingering(): void {
    if (this.#lingering === undefined) return;
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
  }

  destroy(): void {
    this.#isForced = true;
    const { core } = this.#hosting.serving;
    if (this.#webSocket !== undefined) this.#destroyWebSocket(this.#webSocket);
    core.tryClose(this.#resource);
    if (this.#handshaking !== undefined) this.#destroyHandshake(this.#handshaking);
    // No `finished` follows: HTTP has not started, Deno waits for the client, or `finished` has settled.
    if (this.#handshaking !== undefined || this.#isEnding || this.#hasEnded) this.#gone();
    this.#handshaking = undefined;
  }

  /** After `close` alone, Deno would go on with the handshake for as long as its client takes. */
  #destroyHandshake(accepted: DenoConn): void {
    this.#hosting.cut(this.remoteAddr);
    accepted.close();
  }

  #destroyWebSocket(socket: WebSocket): void {
    this.#hosting.cut(this.remoteAddr);
    this.#hosting.serving.core.tryClose(internals.resourceOf(socket));
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#lingering);
    this.#life?.end();
    this.#hosting.onGone(this);
    this.#announce("closed");
  }

  #announceExchange({ request, native }: Exchange): void {
    this.#announce("active");
    const isLast = request.headers.get("connection")?.toLowerCase() === "close";
    const onDelivered = () => {
      if (!isLast && !this.#exchanges.isClosing && this.#webSocket === undefined) {
        this.#announce("idle");
      }
    };
    native.completed.then(onDelivered, () => {});
  }

  #announce(state: ConnState): void {
    const { onConnState } = this.#hosting.settings;
    if (onConnState === undefined) return;
    onConnState(state, {
      state,
      age: performance.now() - this.acceptedAt,
      remoteAddr: this.remoteAddr,
      ...inFlight(this.request(), performance.now()),
    });
  }
}
