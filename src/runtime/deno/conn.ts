import { type ConnState, inFlight, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { Conn } from "../../server/conn_table.ts";
import { type Handler, refuseUnsendable, type ServeSettings } from "../../options/serve.ts";
import { streamLargeBody } from "./body.ts";
import { Exchange } from "./exchange.ts";
import { type Exchanges, Http1Exchanges, Http2Streams } from "./exchanges.ts";
import { type ConnectionServing, internals } from "./internals.ts";
import { isHttp2, isReceivable } from "./upload.ts";
import { addrOf, type DenoConn, type DenoHttpServer, type DenoInfo } from "../api/deno.ts";
import { GOING_AWAY } from "../../server/driver.ts";
import { badRequest } from "../../server/last_response.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { LINGER } from "../../server/linger.ts";

/** The objects that the connections of one server share. */
export interface Hosting {
  readonly serving: ConnectionServing;
  readonly handler: Handler;
  readonly settings: ServeSettings;
  /** To be called when a connection is gone. */
  onGone(conn: DenoConnection): void;
  /** Whether each response is the last of its connection. */
  endsConnections(): boolean;
  /**
   * Returns the function to call when a connection may have become idle; undefined until the drain starts.
   */
  draining(conn: DenoConnection): (() => void) | undefined;
}

const nothing = () => {};

/** A connection on which HTTP is served by itself. Its state is read off its newest request. */
export class DenoConnection implements Conn {
  readonly acceptedAt: number = performance.now();
  readonly #peer: DenoConn["remoteAddr"];
  readonly #hosting: Hosting;
  /** The accepted connection, until its handshake is done. */
  #handshaking: DenoConn | undefined;
  #serving: DenoHttpServer | undefined;
  /** The number of the resource behind `#serving`; -1, which is nobody's, if it is not known. */
  #resource = -1;
  #exchanges: Exchanges = new Http1Exchanges();
  /** The newest request; undefined before the first one. */
  #newest: Exchange | undefined;
  /** Whether Deno is ending the connection, which nothing can hasten any more. */
  #isEnding = false;
  /** Whether the connection is not waited for any more. */
  #isForced = false;
  /** The number of handlers at work. They are waited for, also when the client has left. */
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
      if (alpnProtocol === "h2") this.#speakHttp2();
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
    if (this.#exchanges.isClosing) return this.#drop();
    const { handler, settings } = this.#hosting;
    const exchange = new Exchange(request, native, this, settings);
    const isFirst = this.#newest === undefined;
    this.#newest = exchange;
    // With TLS the handshake has told.
    if (isFirst && settings.tls === undefined && isHttp2(request)) this.#speakHttp2();
    this.#exchanges.begin(exchange);
    if (settings.onConnState !== undefined) this.#announceExchange(exchange);
    if (!isReceivable(request, exchange.claimed)) return this.#endAfter(badRequest());
    const isLate = this.#isGone ||
      (this.#hosting.draining(this) !== undefined && isUpgrade(request));
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

  /** Prepares a response to be sent. */
  #finish = (response: Response): Response => {
    // Deno refuses it too, but where nothing catches that if it came as a promise.
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
      if (this.#hosting.draining(this) !== undefined) socket.close(GOING_AWAY);
    });
    socket.addEventListener("close", () => this.#gone());
  }

  state(): ConnState {
    if (this.#webSocket !== undefined) return "hijacked";
    if (this.#newest === undefined) return "new";
    return this.#exchanges.isActive || this.#handling > 0 ? "active" : "idle";
  }

  request(): RequestInFlight | undefined {
    const { oldest } = this.#exchanges;
    return this.#handling > 0 || oldest?.isInFlight ? oldest?.inFlight() : undefined;
  }

  startEnding(): void {
    if (this.#webSocket?.readyState === WebSocket.OPEN) this.#webSocket.close(GOING_AWAY);
  }

  startDrain(onChange: () => void): void {
    this.#exchanges.startDrain(onChange);
  }

  /**
   * With nothing in flight Deno closes a connection at once, after what is left of a small response.
   *
   * With HTTP/2 this is where GOAWAY is sent. Sent while streams are in flight, Deno would cut them
   * off as soon as the client answers with a GOAWAY of its own, as Node's does: h2 before 0.4.14 takes that
   * for one about its own streams (https://github.com/hyperium/h2/pull/886).
   */
  closeIdle(): void {
    if (this.#newest === undefined) this.destroy();
    else if (this.#newest.isUnread) this.#linger();
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
