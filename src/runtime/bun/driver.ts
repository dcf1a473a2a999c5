/** The Bun engine: `Bun.serve`, with the kernel's help for what Bun does not show or do. */
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

/** Starts a server on `Bun.serve`. */
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
  /** Fires when the clients of unread uploads have had their time. */
  #linger: ReturnType<typeof setTimeout> | undefined;
  #isLingerOver = false;
  /** The open ones, and when they were opened. */
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
      if (fd !== undefined) this.#own(fd, before);
    }
    this.#watchUpgrades();
  }

  acceptOn(fd: number): number {
    const listener = this.#placeholder!.replaceListener(fd);
    this.#own(listener);
    return listener;
  }

  #opening(open: () => BunServer, asked: Addr): { made: BunServer; fd: number | undefined } {
    return this.kernel?.opening(
      open,
      (server) => addrOf(server, asked),
      (server) => void server.stop(true),
    ) ?? { made: open(), fd: undefined };
  }

  /** Returns the connections at an address before the server listens: they are not its own. */
  #connectionsAt(listen: Addr): Set<bigint> {
    const hasPort = listen.transport === "unix" || listen.port !== 0;
    const conns = hasPort ? this.kernel?.connections(listen) : undefined;
    return new Set(conns?.map(({ cookie }) => cookie));
  }

  #own(listener: number, strangers?: ReadonlySet<bigint>): void {
    const { kernel } = this;
    if (kernel === undefined) return;
    const listeners = new Map([[kernel.cookieOf(listener), listener]]);
    this.sockets = new ServerSockets(kernel, listeners, strangers);
    // Bun has Linux keep a connection back until it sends something, and would lose it at a stop.
    this.sockets.disableDeferAccept();
  }

  /** A handler that has upgraded its request returns nothing: Bun itself knows that it may. */
  #watchUpgrades(): void {
    const { server } = this;
    const upgrade = server.upgrade.bind(server);
    server.upgrade = (request, ...options) => {
      const isUpgraded = upgrade(request, ...options);
      if (isUpgraded) this.#flights.upgraded(request);
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
    const answerLater = async (pending: Promise<Response>, info: BunFlight) => {
      try {
        return answer(await pending, info);
      } catch (error) {
        this.#settle(info);
        throw error;
      }
    };
    const fetch = (request: Request, server: BunServer) => {
      const info = new BunFlight(request, server, this.addr, settings);
      this.#flights.add(info);
      this.#unread.begin(request);
      try {
        const isRefused = this.drainStart !== undefined && isUpgrade(request);
        const response = isRefused ? unavailable() : handler(request, info);
        return response instanceof Promise ? answerLater(response, info) : answer(response, info);
      } catch (error) {
        this.#settle(info);
        throw error;
      }
    };
    try {
      return bun().serve({
        ...(listen.transport === "unix"
          ? { unix: listen.path }
          : { hostname: listen.hostname, port: listen.port, reusePort }),
        ...(tls === undefined ? {} : { tls, http2: true }),
        ...(websocket === undefined ? {} : { websocket: this.#follow(websocket) }),
        fetch,
        error: async (error: unknown) => last(await onError(error)),
        // Bun would cut a handler off that takes longer than 10 s.
        idleTimeout: 0,
        // Bun would refuse a body of more than 128 MiB before anybody has seen its request.
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        development: false,
      });
    } catch (error) {
      throw listenError(listen, error);
    }
  }

  /** The handler has answered, or failed. If its client has left, nothing else tells of its end. */
  #settle(info: BunFlight): void {
    info.answered = true;
    if (this.drainStart !== undefined && info.isDelivered) this.onChange();
  }

  /** The user's handlers of WebSockets, and a set of those that are open. */
  #follow(handlers: WebSocketHandlers): WebSocketHandlers {
    const sockets = this.#webSockets;
    const isDraining = () => this.drainStart !== undefined;
    return {
      ...handlers,
      open(socket) {
        sockets.set(socket, performance.now());
        const opened = handlers.open?.(socket);
        // Its handler has taken its time: the drain has come before it.
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

  /** The client of an unread upload may go on sending for a while, as in Go. */
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
      // Bun does not tell its port.
      remoteAddr: { transport: "tcp" as const, hostname: remoteAddress, port: 0 },
    }));
    const resting = this.open().filter(({ remoteAddr }) => !known.has(keyOf(remoteAddr)));
    return [
      ...flights.map((flight) => flight.snapshot(now)),
      ...webSockets,
      ...withoutWebSockets(resting, webSockets),
    ];
  }
}

function addrOf({ address }: BunServer, asked: Addr): Addr {
  return typeof address === "string"
    ? asked
    : { transport: "tcp", hostname: address.address, port: address.port };
}

/**
 * Bun closes a connection right behind its last response. What the client still sends then is
 * answered with a reset, which takes the response away, so an unread upload is taken in first.
 */
function afterUpload(request: Request, response: Response): Response | Promise<Response> {
  if (request.body === null || request.bodyUsed) return response;
  // Somebody reads it, or the response sends it back.
  if (request.body.locked || response.body === request.body) return response;
  return discard(request.body).then(() => response);
}

async function discard(body: ReadableStream): Promise<void> {
  const reader = body.getReader();
  const timer = setTimeout(() => reader.cancel(), LINGER);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The client is gone, and wants no response.
  } finally {
    clearTimeout(timer);
  }
}

/** Returns the connections without a request in flight, less one from the same host for each WebSocket. */
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
