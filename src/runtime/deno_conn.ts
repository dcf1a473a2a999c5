import type { Addr, Conn, ConnState } from "../conn.ts";
import type { Handler, ServeInfo, ServeSettings } from "../options.ts";
import { streamLargeBody } from "./deno_body.ts";
import {
  addrOf,
  type ConnectionServing,
  type DenoConn,
  type DenoHttpServer,
  type DenoInfo,
} from "./deno_types.ts";
import { sayingClose } from "./last_response.ts";

/** RFC 6455, section 7.4.1: an endpoint is going away, such as a server going down. */
const GOING_AWAY = 1001;

/** What the connections of one server share. */
export interface Hosting {
  readonly internals: ConnectionServing;
  readonly handler: Handler;
  readonly settings: ServeSettings;
  /** To be called when a connection is gone. */
  onGone(conn: DenoConnection): void;
  /** What to call when a connection may have become idle: undefined until the drain starts. */
  draining(): (() => void) | undefined;
}

/** A request and what Deno tells of it. */
interface Exchange {
  readonly request: Request;
  readonly native: DenoInfo;
}

/** One connection, served by itself. Its state is read off its newest exchange. */
export class DenoConnection implements Conn {
  readonly acceptedAt: number = performance.now();
  readonly remoteAddr: Addr;
  readonly #hosting: Hosting;
  /** Until HTTP takes it over. */
  #accepted: DenoConn | undefined;
  #serving: DenoHttpServer | undefined;
  /** The number of the resource behind `#serving`. */
  #resource = -1;
  /** The newest exchange; the only one in flight, but with HTTP/2. */
  #exchange: Exchange | undefined;
  /** A response has said that it is the last one. */
  #closing = false;
  /** The exchanges in flight, of a connection with HTTP/2. */
  #streams: Set<Exchange> | undefined;
  #webSocket: WebSocket | undefined;

  constructor(accepted: DenoConn, hosting: Hosting) {
    this.#accepted = accepted;
    this.#hosting = hosting;
    this.remoteAddr = addrOf(accepted.remoteAddr);
    this.#announce("new");
  }

  /** Serves HTTP until the connection ends; with TLS, after the handshake. */
  serve(): void {
    if (this.#accepted?.handshake === undefined) this.#serveHttp();
    else this.#shakeHands(this.#accepted.handshake());
  }

  async #shakeHands(handshake: Promise<{ alpnProtocol: string | null }>): Promise<void> {
    try {
      const { alpnProtocol } = await handshake;
      if (alpnProtocol === "h2") this.#streams = new Set();
    } catch {
      // The client's doing, or destroy()'s.
      this.destroy();
      return;
    }
    if (this.#accepted !== undefined) this.#serveHttp();
  }

  #serveHttp(): void {
    const { internals: { core, serveHttpOnConnection }, settings } = this.#hosting;
    const accepted = this.#accepted!;
    this.#accepted = undefined;
    const next = core.createCancelHandle();
    core.close(next);
    this.#serving = serveHttpOnConnection(
      accepted,
      undefined,
      this.#onRequest,
      async (error) => this.#finish(await settings.onError(error)),
      () => {},
    );
    this.#resource = next + 1;
    const end = () => {
      if (this.#webSocket === undefined) this.#gone();
    };
    this.#serving.finished.then(end, end);
  }

  #onRequest = (request: Request, native: DenoInfo): Response | Promise<Response> => {
    const { handler, settings } = this.#hosting;
    const exchange = { request, native };
    this.#exchange = exchange;
    if (this.#streams !== undefined) this.#followStream(exchange, this.#streams);
    if (settings.onConnState !== undefined) this.#announceExchange(exchange);
    const response = handler(request, new Info(native, this.remoteAddr, settings.draining));
    return response instanceof Promise ? response.then(this.#finish) : this.#finish(response);
  };

  /** What is to be done with each response. */
  #finish = (response: Response): Response => {
    // What is not a Response is for Deno to refuse.
    if (!(response instanceof Response)) return response;
    if (response.status === 101) this.#hijack(response);
    else if (this.#hosting.draining() !== undefined) response = this.#endAfter(response);
    streamLargeBody(response);
    return response;
  };

  /** Makes a response the last one of its connection. HTTP/2 has its own way, which is GOAWAY. */
  #endAfter(response: Response): Response {
    if (this.#streams !== undefined) return response;
    this.#closing = true;
    // Deno does not close a connection because a response says so.
    const end = () => this.#serving?.shutdown();
    this.#exchange?.native.completed.then(end, end);
    return sayingClose(response);
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
    const socket = webSocketOf(response);
    if (socket === undefined) return;
    this.#webSocket = socket;
    const { core } = this.#hosting.internals;
    socket.addEventListener("open", () => {
      core.tryClose(this.#resource);
      this.#announce("hijacked");
      if (this.#hosting.draining() !== undefined) socket.close(GOING_AWAY);
    });
    socket.addEventListener("close", () => this.#gone());
    socket.addEventListener("error", () => this.#gone());
  }

  state(): ConnState {
    if (this.#webSocket !== undefined) return "hijacked";
    if (this.#exchange === undefined) return "new";
    if (this.#streams !== undefined) return this.#streams.size > 0 ? "active" : "idle";
    return this.#closing || isInFlight(this.#exchange) ? "active" : "idle";
  }

  request(): { method: string; path: string } | undefined {
    const [exchange] = this.#streams ?? [this.#exchange];
    if (exchange === undefined || !isInFlight(exchange)) return undefined;
    const { method, url } = exchange.request;
    return { method, path: new URL(url).pathname };
  }

  startDrain(onChange: () => void): void {
    if (this.#webSocket?.readyState === WebSocket.OPEN) this.#webSocket.close(GOING_AWAY);
    // GOAWAY, which ends the session after the streams in flight.
    if (this.#streams !== undefined) this.#serving?.shutdown();
    else if (this.#exchange !== undefined && isInFlight(this.#exchange)) {
      this.#exchange.native.completed.then(onChange, onChange);
    }
  }

  closeIdle(): void {
    // With nothing in flight this closes at once, after what is left of a small response.
    if (this.#exchange === undefined) this.destroy();
    else this.#serving?.shutdown();
  }

  destroy(): void {
    const { core } = this.#hosting.internals;
    if (this.#webSocket !== undefined) core.tryClose(resourceOf(this.#webSocket));
    if (this.#accepted !== undefined) {
      this.#accepted.close();
      this.#accepted = undefined;
      this.#gone();
    }
    core.tryClose(this.#resource);
  }

  #gone(): void {
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
    this.#hosting.settings.onConnState?.(state, {
      state,
      age: performance.now() - this.acceptedAt,
      remoteAddr: this.remoteAddr,
      ...this.request(),
    });
  }
}

/** What a handler is told. */
class Info implements ServeInfo {
  readonly native: DenoInfo;
  readonly remoteAddr: Addr;
  readonly draining: AbortSignal;

  constructor(native: DenoInfo, remoteAddr: Addr, draining: AbortSignal) {
    this.native = native;
    this.remoteAddr = remoteAddr;
    this.draining = draining;
  }
}

function isInFlight({ native }: Exchange): boolean {
  try {
    // It throws once the response has been delivered.
    void native.remoteAddr;
    return true;
  } catch {
    return false;
  }
}

/** The socket that belongs to the response of `Deno.upgradeWebSocket`. */
function webSocketOf(response: Response): WebSocket | undefined {
  return valuesOf(response).find((value) => value instanceof WebSocket);
}

/** The number of the resource behind a WebSocket; -1, which is nobody's, if it is not found. */
function resourceOf(socket: WebSocket): number {
  const symbols = Object.getOwnPropertySymbols(socket);
  const rid = symbols.find((symbol) => symbol.description === "[[rid]]");
  // The cast: slots have no types.
  const value = rid && (socket as unknown as Record<symbol, unknown>)[rid];
  return typeof value === "number" ? value : -1;
}

function valuesOf(object: object): unknown[] {
  // The cast: slots have no types, and are only looked through.
  const slots = object as Record<symbol, unknown>;
  return Object.getOwnPropertySymbols(object).map((symbol) => slots[symbol]);
}
