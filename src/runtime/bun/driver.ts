/** The engine `"bun"`: `Bun.serve`, and the kernel for everything that Bun does not show or cannot do. */
import process from "node:process";
import type { ConnInfo } from "../../core/conn.ts";
import { type Addr, keyOf } from "../../core/addr.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import { type Handler, refuseUnsendable, type ServeSettings } from "../../options/serve.ts";
import type { ServerWebSocket, WebSocketHandlers } from "../../options/websocket.ts";
import { BunFlight, Flights } from "./flights.ts";
import { BunServeDriver } from "./serve_driver.ts";
import { bun, type BunServer } from "../api/bun.ts";
import { UnreadUploads } from "./uploads.ts";
import { GOING_AWAY, type StartedDriver } from "../../server/driver.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { sayingClose } from "../../server/last_response.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { LINGER } from "../../server/linger.ts";
import { listenError } from "../../core/listen_error.ts";
import { ServerSockets } from "../linux/server_sockets.ts";
import { PlaceholderListener } from "../linux/placeholder_listener.ts";

/** Starts a server of the engine `"bun"`. */
export function startBun(handler: Handler, settings: ServeSettings): StartedDriver {
  return new BunDriver(handler, settings);
}

class BunDriver extends BunServeDriver implements StartedDriver {
  readonly scheme: "http" | "https";
  readonly addr: Addr;
  protected readonly server: BunServer;
  protected sockets: ServerSockets | undefined;
  protected readonly isHandedOn: boolean;
  readonly #placeholder: PlaceholderListener<BunServer> | undefined;
  readonly #flights = new Flights();
  readonly #unread = new UnreadUploads();
  /** The timer that ends the time in which clients may keep sending unread uploads. */
  #linger: ReturnType<typeof setTimeout> | undefined;
  #isLingerOver = false;
  /** The open WebSockets, with the times at which they opened, on the clock of `performance.now()`. */
  readonly #webSockets = new Map<ServerWebSocket, number>();
  #endsConnections = false;

  constructor(handler: Handler, settings: ServeSettings) {
    super();
    this.scheme = settings.tls === undefined ? "http" : "https";
    this.isHandedOn = settings.socket !== undefined;
    this.#placeholder = settings.socket && new PlaceholderListener(
      settings.socket,
      (where) => this.#serve(handler, { ...settings, listen: where, reusePort: false }),
      addrOf,
      (server) => void server.stop(true),
    );
    if (this.#placeholder !== undefined) {
      this.server = this.#placeholder.listener;
      this.addr = settings.socket!;
    } else {
      const before = this.#connectionsAt(settings.listen);
      const { made, fd } = this.#opening(
        () => this.#serve(handler, settings),
        settings.listen,
      );
      this.server = made;
      this.addr = addrOf(this.server, settings.listen);
      this.#setBacklog(fd, settings.backlog);
      if (fd !== undefined) this.#trackSockets(fd, before);
      // Other servers are to come to the address.
      if (settings.reusePort) this.sockets?.disableDeferAccept();
    }
    this.#watchUpgrades();
  }

  acceptOn(fd: number): number {
    const listener = this.#placeholder!.replaceListener(fd);
    this.#trackSockets(listener);
    return listener;
  }

  #opening(open: () => BunServer, asked: Addr): { made: BunServer; fd: number | undefined } {
    return this.kernel?.opening(
      open,
      (server) => addrOf(server, asked),
      (server) => void server.stop(true),
    ) ?? { made: open(), fd: undefined };
  }

  /**
   * Returns the cookies of the connections at an address. To be called before the server listens, to know
   * the connections that are not its own.
   */
  #connectionsAt(listen: Addr): Set<bigint> {
    const hasPort = listen.transport === "unix" || listen.port !== 0;
    const conns = hasPort ? this.kernel?.connections(listen) : undefined;
    return new Set(conns?.map(({ cookie }) => cookie));
  }

  #trackSockets(listener: number, strangers?: ReadonlySet<bigint>): void {
    const { kernel } = this;
    if (kernel === undefined) return;
    const listeners = new Map([[kernel.cookieOf(listener), listener]]);
    this.sockets = new ServerSockets(kernel, listeners, strangers);
    // A listener of several processes outlives the drain, which deals with the connections that Linux withholds.
    if (this.isHandedOn) this.sockets.disableDeferAccept();
  }

  /**
   * Records the requests that become WebSockets. After an upgrade the handler may return no response; Bun
   * knows of the upgrade, but does not show it.
   */
  #watchUpgrades(): void {
    const { server } = this;
    const upgrade = server.upgrade.bind(server);
    server.upgrade = (request, ...options) => {
      const isUpgraded = upgrade(request, ...options);
      if (isUpgraded) this.#flights.markUpgraded(request);
      return isUpgraded;
    };
  }

  #serve(handler: Handler, settings: ServeSettings): BunServer {
    const { listen, tls, reusePort, onError, websocket } = settings;
    const last = (response: Response) => this.#endsConnections ? sayingClose(response) : response;
    const answer = (response: Response, info: BunFlight) => {
      this.#settle(info);
      if (response === undefined && this.#flights.isUpgraded(info)) return response;
      refuseUnsendable(response);
      if (this.#endsConnections) return afterUpload(info.request, sayingClose(response));
      this.#unread.answered(info, () => this.open());
      return response;
    };
    // Bun does not tell its own handler of errors which request has failed.
    const answerError = async (error: unknown, info: BunFlight) =>
      answer(await onError(error), info);
    const answerLater = async (pending: Promise<Response>, info: BunFlight) => {
      try {
        return answer(await pending, info);
      } catch (error) {
        return await answerError(error, info);
      }
    };
    const fetch = (request: Request, server: BunServer) => {
      const info = new BunFlight(request, server, this.addr, settings);
      this.#flights.add(info);
      this.#unread.begin(request);
      try {
        const isRefused = this.drainStart !== undefined && isUpgrade(request);
        // An upgrade can be refused while the accept queue is emptied, before other responses end connections.
        const response = isRefused ? sayingClose(unavailable()) : handler(request, info);
        return response instanceof Promise ? answerLater(response, info) : answer(response, info);
      } catch (error) {
        return answerError(error, info);
      }
    };
    try {
      return bun().serve({
        ...(listen.transport === "unix"
          ? { unix: listen.path }
          : { hostname: listen.hostname, port: listen.port, reusePort }),
        ...(tls === undefined ? {} : { tls, http2: true }),
        ...(websocket === undefined ? {} : { websocket: this.#trackWebSockets(websocket) }),
        fetch,
        error: async (error: unknown) => last(await onError(error)),
        // By default Bun cuts off a handler that takes longer than 10 s.
        idleTimeout: 0,
        // By default Bun refuses a body of more than 128 MiB before the handler sees the request.
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        development: false,
      });
    } catch (error) {
      throw listenError(listen, error);
    }
  }

  /**
   * Records that the handler has answered or failed. If the client has left by then, no other event says
   * that the request is over.
   */
  #settle(info: BunFlight): void {
    info.answered = true;
    if (this.drainStart !== undefined && info.isDelivered) this.onChange();
  }

  /** Returns the caller's WebSocket handlers, extended to record which WebSockets are open. */
  #trackWebSockets(handlers: WebSocketHandlers): WebSocketHandlers {
    const sockets = this.#webSockets;
    const isDraining = () => this.drainStart !== undefined;
    return {
      ...handlers,
      open(socket) {
        sockets.set(socket, performance.now());
        const opened = handlers.open?.(socket);
        // The drain started before this WebSocket opened, and endConnections() may have been called.
        if (isDraining()) socket.close(GOING_AWAY, "");
        return opened;
      },
      close(socket, code, reason) {
        sockets.delete(socket);
        return handlers.close?.(socket, code, reason);
      },
    };
  }

  #setBacklog(listener: number | undefined, backlog: number | undefined): void {
    if (backlog === undefined) return;
    if (listener !== undefined && this.kernel?.setBacklog(listener, backlog)) return;
    this.server.stop(true);
    throw new TypeError(
      `Cannot serve as 'backlog' must be absent with the engine "bun" on ${process.platform}: ` +
        `current value is ${backlog}`,
    );
  }

  startLameDuck(): void {
    this.#endsConnections = true;
    // A drain that follows a second later finds no connection that the kernel withholds.
    this.sockets?.disableDeferAccept();
  }

  override startDrain(onChange: () => void): void {
    super.startDrain(onChange);
    this.#flights.sweep();
  }

  endConnections(): void {
    this.#endsConnections = true;
    for (const socket of this.#webSockets.keys()) socket.close(GOING_AWAY, "");
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!policy.spareIdle) this.#endUnread();
    const isQuiescent = super.closeIdleConns(now, policy) && !this.#flights.hasUnanswered;
    if (isQuiescent) clearTimeout(this.#linger);
    return isQuiescent;
  }

  /**
   * Ends the connections with an unread upload after {@linkcode LINGER} ms, in which their clients may keep
   * sending, as in Go.
   */
  #endUnread(): void {
    if (this.#unread.isEmpty) return;
    this.#linger ??= setTimeout(() => {
      this.#isLingerOver = true;
      this.onChange();
    }, LINGER);
    if (!this.#isLingerOver) return;
    const busy = new Set(this.#flights.current().map(({ remoteAddr }) => keyOf(remoteAddr)));
    for (const conn of this.open()) {
      const isOver = this.#unread.has(conn) && !busy.has(keyOf(conn.remoteAddr));
      if (isOver) this.sockets?.shutdown(conn);
    }
  }

  override async closeAll(): Promise<void> {
    clearTimeout(this.#linger);
    await super.closeAll();
    this.#flights.abandon();
  }

  connections(now: number): ConnInfo[] {
    const flights = this.#flights.current();
    const known = new Set(flights.map(({ remoteAddr }) => keyOf(remoteAddr)));
    const webSockets = [...this.#webSockets].map(([{ remoteAddress }, opened]) => ({
      state: "hijacked" as const,
      age: now - opened,
      // Bun does not show the port of the client.
      remoteAddr: { transport: "tcp" as const, hostname: remoteAddress, port: 0 },
    }));
    const withoutRequest = this.open().filter(({ remoteAddr }) => !known.has(keyOf(remoteAddr)));
    return [
      ...flights.map((flight) => flight.snapshot(now)),
      ...webSockets,
      ...withoutWebSockets(withoutRequest, webSockets),
      ...this.withheld(),
    ];
  }
}

function addrOf({ address }: BunServer, asked: Addr): Addr {
  return typeof address === "string"
    ? asked
    : { transport: "tcp", hostname: address.address, port: address.port };
}

/**
 * Returns the last response of a connection once an unread upload has been received and discarded, for at
 * most {@linkcode LINGER} ms. Bun closes a connection right after its last response. If the client still
 * sends then, it is reset and can lose the response.
 */
function afterUpload(request: Request, response: Response): Response | Promise<Response> {
  if (request.body === null || request.bodyUsed) return response;
  // The upload has a reader, or is itself the body of the response.
  if (request.body.locked || response.body === request.body) return response;
  return discard(request.body).then(() => response);
}

async function discard(body: ReadableStream): Promise<void> {
  const reader = body.getReader();
  const timer = setTimeout(() => reader.cancel(), LINGER);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The client is gone and needs no response.
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Returns `conns` without one connection from the same host for each WebSocket, because Bun does not show
 * which connection a WebSocket uses.
 */
function withoutWebSockets(
  conns: readonly KernelConn[],
  webSockets: readonly { remoteAddr: { hostname: string } }[],
): ConnInfo[] {
  const hosts = webSockets.map(({ remoteAddr }) => remoteAddr.hostname);
  return conns.flatMap(({ silent, silentFor, remoteAddr }) => {
    const webSocket = silent ? -1 : hosts.indexOf(hostOf(remoteAddr));
    if (webSocket >= 0) {
      hosts.splice(webSocket, 1);
      return [];
    }
    return [{ state: silent ? "new" : "idle", age: silentFor, remoteAddr }];
  });
}

function hostOf(addr: Addr): string {
  return addr.transport === "tcp" ? addr.hostname : addr.path;
}
