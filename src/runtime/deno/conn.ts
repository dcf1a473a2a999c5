import { type ConnState, inFlight, pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { Conn } from "../../server/conn_table.ts";
import { type Handler, refuseUnsendable, type ServeSettings } from "../../options/serve.ts";
import { RequestInfo } from "../../server/request_info.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import { streamLargeBody } from "./body.ts";
import { type ConnectionServing, Delivery, internals } from "./internals.ts";
import { lastOf } from "./last_response.ts";
import { claimedLength, isHttp2, isReceivable, isUnread } from "./upload.ts";
import { addrOf, type DenoConn, type DenoHttpServer, type DenoInfo } from "../api/deno.ts";
import { GOING_AWAY } from "../../server/driver.ts";
import { badRequest, isUpgrade, LINGER, unavailable } from "../../server/last_response.ts";

/** What the connections of one server share. */
export interface Hosting {
  readonly serving: ConnectionServing;
  readonly handler: Handler;
  readonly settings: ServeSettings;
  /** To be called when a connection is gone. */
  onGone(conn: DenoConnection): void;
  /** Whether each response is the last of its connection. */
  endsConnections(): boolean;
  /** What to call when a connection may have become idle: undefined until the drain starts. */
  draining(): (() => void) | undefined;
}

const nothing = () => {};

/** One connection, served by itself. Its state is read off its newest exchange. */
export class DenoConnection implements Conn {
  readonly acceptedAt: number = performance.now();
  readonly #peer: DenoConn["remoteAddr"];
  readonly #hosting: Hosting;
  /** Until its handshake is done. */
  #handshaking: DenoConn | undefined;
  #serving: DenoHttpServer | undefined;
  /** The number of the resource behind `#serving`; -1, which is nobody's, if it is not known. */
  #resource = -1;
  /** The newest exchange; the only one in flight, but with HTTP/2. */
  #exchange: Exchange | undefined;
  /** A response has said that it is the last one. */
  #closing = false;
  /** The exchanges in flight, of a connection with HTTP/2. */
  #streams: Set<Exchange> | undefined;
  /** Deno is ending it, which nothing can hasten any more. */
  #isEnding = false;
  /** It is not to be waited for any more. */
  #isForced = false;
  /** How many handlers are at work. A client may have left while they are: they are waited for. */
  #handling = 0;
  #hasEnded = false;
  #isGone = false;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  #webSocket: WebSocket | undefined;

  constructor(peer: DenoConn["remoteAddr"], hosting: Hosting) {
    this.#hosting = hosting;
    this.#peer = peer;
    this.#announce("new");
  }

  get remoteAddr(): Addr {
    return addrOf(this.#peer);
  }

  /** Serves HTTP until the connection ends; with TLS, after the handshake. */
  async serve(accepted: DenoConn): Promise<void> {
    if (accepted.handshake === undefined) return this.#serveHttp(accepted);
    this.#handshaking = accepted;
    try {
      const { alpnProtocol } = await accepted.handshake();
      if (alpnProtocol === "h2") this.#streams = new Set();
    } catch {
      // The client's doing, or destroy()'s.
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
      // One that never opened does not tell of its end.
      const isOpen = this.#webSocket !== undefined &&
        this.#webSocket.readyState !== WebSocket.CONNECTING;
      if (isOpen) return;
      this.#hasEnded = true;
      if (this.#handling === 0 || this.#isForced) this.#gone();
    };
    this.#serving?.finished.then(end, end);
  }

  #onRequest = (request: Request, native: DenoInfo): Response | Promise<Response> => {
    if (this.#closing) return this.#drop();
    const { handler, settings } = this.#hosting;
    const exchange = new Exchange(request, native, this, settings);
    const isFirst = this.#exchange === undefined;
    this.#exchange = exchange;
    // With TLS the handshake has told.
    if (isFirst && settings.tls === undefined && isHttp2(request)) this.#streams = new Set();
    if (this.#streams !== undefined) this.#followStream(exchange, this.#streams);
    if (settings.onConnState !== undefined) this.#announceExchange(exchange);
    if (!isReceivable(request, exchange.claimed)) return this.#refuse();
    const isLate = this.#isGone ||
      (this.#hosting.draining() !== undefined && isUpgrade(request));
    const response = isLate ? unavailable() : handler(request, exchange);
    if (!(response instanceof Promise)) return this.#finish(response);
    this.#handling++;
    return response.then(this.#answered, this.#failed);
  };

  #answered = (response: Response): Response => {
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
   * Ends the connection instead of processing what was pipelined behind its last response, which has been
   * written whole by now.
   */
  #drop(): Promise<Response> {
    this.#hosting.serving.core.tryClose(this.#resource);
    return new Promise(() => {});
  }

  /** A body that cannot be received. */
  #refuse(): Response {
    return this.#streams === undefined ? this.#endAfter(badRequest()) : badRequest();
  }

  /** What is to be done with each response. */
  #finish = (response: Response): Response => {
    // Deno refuses it too, but where nothing catches that if it came as a promise.
    refuseUnsendable(response);
    streamLargeBody(response);
    if (response.status === 101) this.#hijack(response);
    else if (this.#hosting.endsConnections()) return this.#endAfter(response);
    else if (this.#streams === undefined) this.#exchange?.look();
    return response;
  };

  /** Makes a response the last one of its connection. HTTP/2 ends in another way: `closeIdle`. */
  #endAfter(response: Response): Response {
    if (this.#streams !== undefined || this.#exchange === undefined) return response;
    this.#closing = true;
    const { request, claimed, native } = this.#exchange;
    // Deno does not close a connection because a response says so.
    const end = isUnread(request, claimed) ? () => this.#linger() : () => this.#end();
    native.completed.then(end, end);
    return lastOf(request, response);
  }

  #followStream(exchange: Exchange, streams: Set<Exchange>): void {
    streams.add(exchange);
    const end = () => {
      streams.delete(exchange);
      this.#hosting.draining()?.();
    };
    exchange.native.completed.then(end, end);
  }

  /**
   * A WebSocket outlives the HTTP it came from, but Deno ends both at once where HTTP was served on
   * one connection. It finds nothing to end if the resource is gone by then.
   */
  #hijack(response: Response): void {
    const socket = internals.webSocketOf(response);
    if (socket === undefined) return;
    this.#webSocket = socket;
    const { core } = this.#hosting.serving;
    socket.addEventListener("open", () => {
      core.tryClose(this.#resource);
      this.#announce("hijacked");
      if (this.#hosting.draining() !== undefined) socket.close(GOING_AWAY);
    });
    socket.addEventListener("close", () => this.#gone());
  }

  state(): ConnState {
    if (this.#webSocket !== undefined) return "hijacked";
    if (this.#exchange === undefined) return "new";
    if (this.#handling > 0) return "active";
    if (this.#streams !== undefined) return this.#streams.size > 0 ? "active" : "idle";
    return this.#closing || this.#exchange.isInFlight ? "active" : "idle";
  }

  request(): RequestInFlight | undefined {
    const [exchange] = this.#streams ?? [this.#exchange];
    if (exchange === undefined) return undefined;
    if (this.#handling === 0 && !exchange.isInFlight) return undefined;
    const { method, url } = exchange.request;
    return { method, path: pathOf(url), since: exchange.since };
  }

  startEnding(): void {
    if (this.#webSocket?.readyState === WebSocket.OPEN) this.#webSocket.close(GOING_AWAY);
    // Of a request that has come since the drain began.
    const onChange = this.#hosting.draining();
    if (onChange !== undefined) this.startDrain(onChange);
  }

  startDrain(onChange: () => void): void {
    // The streams of HTTP/2 are followed as it is.
    if (this.#streams !== undefined || this.#exchange === undefined) return;
    if (this.#exchange.isInFlight) this.#exchange.native.completed.then(onChange, onChange);
  }

  /**
   * With nothing in flight Deno closes a connection at once, after what is left of a small response.
   *
   * With HTTP/2 this is where GOAWAY is sent. Sent while streams are in flight, Deno would cut them
   * off as soon as the client answers with a GOAWAY of its own, as Node's does: h2 before 0.4.14 takes that
   * for one about its own streams (https://github.com/hyperium/h2/pull/886).
   */
  closeIdle(): void {
    if (this.#exchange === undefined) this.destroy();
    else if (this.#exchange.isUnread) this.#linger();
    else this.#end();
  }

  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    // Fails as the connection does, which `finished` tells as well.
    this.#serving?.shutdown().catch(nothing);
  }

  /**
   * Gives a client some time to go on with an upload that was answered unread, so that the answer reaches
   * it. Deno, told to end the connection, would do so when the client has sent all of it, and could not be
   * told to hurry any more.
   */
  #linger(): void {
    this.#lingering ??= setTimeout(() => this.destroy(), LINGER);
  }

  destroy(): void {
    this.#isForced = true;
    const { core } = this.#hosting.serving;
    if (this.#webSocket !== undefined) core.tryClose(internals.resourceOf(this.#webSocket));
    core.tryClose(this.#resource);
    this.#handshaking?.close();
    // What Deno does not end it leaves to the client, and so do we.
    if (this.#handshaking !== undefined || this.#isEnding || this.#hasEnded) this.#gone();
    this.#handshaking = undefined;
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#lingering);
    this.#hosting.onGone(this);
    this.#announce("closed");
  }

  #announceExchange({ request, native }: Exchange): void {
    this.#announce("active");
    const isLast = request.headers.get("connection")?.toLowerCase() === "close";
    const onDelivered = () => {
      if (!isLast && !this.#closing && this.#webSocket === undefined) this.#announce("idle");
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

/** A request and what its handler is told. */
class Exchange extends RequestInfo {
  readonly request: Request;
  /** When it came, on the clock of `performance.now()`. */
  readonly since: number = performance.now();
  readonly native: DenoInfo;
  /** What it claims of its body. */
  readonly claimed: number | undefined;
  /** It was answered before all of its body had been received. */
  isUnread = false;
  readonly #conn: Conn;
  readonly #delivery: Delivery;

  constructor(request: Request, native: DenoInfo, conn: Conn, scope: RequestScope) {
    super(scope);
    this.request = request;
    this.native = native;
    this.claimed = claimedLength(request);
    this.#conn = conn;
    this.#delivery = new Delivery(native);
  }

  get isInFlight(): boolean {
    return !this.#delivery.isDone;
  }

  get remoteAddr(): Addr {
    return this.#conn.remoteAddr;
  }

  /** To be called with its response, when its body can still be looked at. */
  look(): void {
    this.isUnread = isUnread(this.request, this.claimed);
  }

  protected override onEnd(release: () => void): void {
    // Asked for after the delivery, Deno's promise never settles.
    if (this.isInFlight) this.native.completed.then(release, release);
    else release();
  }

  protected override inFlight(): RequestInFlight {
    const { method, url } = this.request;
    return { method, path: pathOf(url), since: this.since };
  }
}
