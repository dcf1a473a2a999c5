/** The Bun engine: `Bun.serve`, with the kernel's help for what Bun does not show or do. */
import process from "node:process";
import type { Addr, ConnInfo, PollPolicy, Tally } from "../conn.ts";
import { NEW_CONN_LIFETIME } from "../conn.ts";
import type { Handler, ServeSettings } from "../options.ts";
import type { ServerWebSocket, WebSocketHandlers } from "./websocket_options.ts";
import { BunInfo, Flights } from "./bun_flights.ts";
import { type KernelConn, type KernelSockets, keyOf, openKernelSockets } from "./kernel_sockets.ts";
import { bun, type BunServer } from "./bun_types.ts";
import { type Driver, type Engine, GOING_AWAY } from "./driver.ts";
import { forcedEnd } from "./forced_end.ts";
import { isUpgrade, LINGER, sayingClose, unavailable } from "./last_response.ts";
import { listenError } from "./listen_error.ts";
import { StandIn } from "./stand_in.ts";

/** Starts a server on `Bun.serve`. */
export function startBun(handler: Handler, settings: ServeSettings): Driver {
  return new BunDriver(handler, settings);
}

class BunDriver implements Driver {
  readonly engine: Engine = "bun";
  readonly secure: boolean;
  readonly addr: Addr;
  readonly #server: BunServer;
  readonly #kernel: KernelSockets | undefined = openKernelSockets();
  readonly #standIn: StandIn<BunServer> | undefined;
  #listener: number | undefined;
  readonly #flights: Flights;
  /** The open ones, and when they were opened. */
  readonly #webSockets = new Map<ServerWebSocket, number>();
  #endsConnections = false;
  #drainStart: number | undefined;
  #openAtStart = 0;
  #closedIdle = 0;
  #forced = 0;
  #onChange = (): void => {};
  #stopped: Promise<void> | undefined;
  #gone = false;
  /** When the next silent connection has been so for too long, on the clock of the polls. */
  #nextExpiry = 0;

  constructor(handler: Handler, settings: ServeSettings) {
    this.secure = settings.tls !== undefined;
    this.#standIn = settings.socket && new StandIn(
      settings.socket,
      (where) => this.#serve(handler, { ...settings, listen: where, reusePort: false }),
      (server) => void server.stop(true),
    );
    if (this.#standIn !== undefined) {
      this.#server = this.#standIn.listener;
      this.addr = settings.socket!;
    } else {
      const opened = this.#opening(() => this.#serve(handler, settings));
      this.#server = opened.made;
      this.#listener = opened.fd;
      this.addr = addrOf(this.#server, settings.listen);
      this.#tuneListener(settings.backlog);
    }
    this.#flights = new Flights(this.#server, this.addr);
  }

  acceptOn(fd: number): number {
    this.#listener = this.#standIn!.graft(fd);
    return this.#listener;
  }

  #opening(open: () => BunServer): { made: BunServer; fd: number | undefined } {
    return this.#kernel?.opening(open) ?? { made: open(), fd: undefined };
  }

  #serve(handler: Handler, settings: ServeSettings): BunServer {
    const { listen, tls, reusePort, onError, websocket } = settings;
    const finish = (response: Response, info?: BunInfo) => {
      if (info !== undefined) info.answered = true;
      // A handler that has upgraded its request returns nothing; what else is no Response is for
      // Bun to refuse.
      if (!this.#endsConnections || !(response instanceof Response)) return response;
      const last = sayingClose(response);
      return info === undefined ? last : afterUpload(info.request, last);
    };
    const fetch = (request: Request, server: BunServer) => {
      const info = new BunInfo(request, server, this.addr, settings);
      this.#flights.add(info);
      const isRefused = this.#drainStart !== undefined && isUpgrade(request);
      const response = isRefused ? unavailable() : handler(request, info);
      return response instanceof Promise
        ? response.then((response) => finish(response, info))
        : finish(response, info);
    };
    try {
      return bun().serve({
        ...(listen.transport === "unix"
          ? { unix: listen.path }
          : { hostname: listen.hostname, port: listen.port, reusePort }),
        ...(tls === undefined ? {} : { tls, http2: true }),
        ...(websocket === undefined ? {} : { websocket: this.#follow(websocket) }),
        fetch,
        error: async (error: unknown) => finish(await onError(error)),
        // Bun would cut a handler off that takes longer than 10 s.
        idleTimeout: 0,
        development: false,
      });
    } catch (error) {
      throw listenError(listen, error);
    }
  }

  /** The user's handlers of WebSockets, and a set of those that are open. */
  #follow(handlers: WebSocketHandlers): WebSocketHandlers {
    const sockets = this.#webSockets;
    const isDraining = () => this.#drainStart !== undefined;
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

  #tuneListener(backlog: number | undefined): void {
    const [kernel, listener] = [this.#kernel, this.#listener];
    const found = kernel !== undefined && listener !== undefined;
    // Bun has Linux keep a connection back until it sends something, and would lose it at a stop.
    if (found && this.addr.transport === "tcp") kernel.acceptAtOnce(listener);
    if (backlog === undefined) return;
    if (found && kernel.setBacklog(listener, backlog)) return;
    this.#server.stop(true);
    throw new TypeError(
      `Cannot serve as 'backlog' must be absent with the engine "bun" on ${process.platform}: ` +
        `current value is ${backlog}`,
    );
  }

  startLameDuck(): void {
    this.#endsConnections = true;
  }

  startDrain(onChange: () => void): void {
    this.#drainStart = performance.now();
    this.#onChange = onChange;
    this.#openAtStart = this.#count();
    this.#flights.sweep();
  }

  endConnections(): void {
    this.#endsConnections = true;
    for (const socket of this.#webSockets.keys()) socket.close(GOING_AWAY, "");
  }

  waitingToBeAccepted(): number | undefined {
    return 0;
  }

  async emptyAcceptQueue(): Promise<void> {}

  closeListeners(spareIdle: boolean): void {
    const closed = spareIdle && this.#listener !== undefined &&
      this.#kernel?.closeBehindItsOwner(this.#listener);
    // Bun's own way closes the idle connections in the same breath.
    if (!closed) this.#stop();
  }

  closeIdle(now: number, policy: PollPolicy): boolean {
    if (!policy.spareIdle || this.#isEmpty()) {
      // What becomes idle after its stop Bun closes by itself, but for sessions of HTTP/2.
      this.#closedIdle += this.#server.closeIdleConnections();
      this.#stop();
    }
    if (now >= this.#nextExpiry) this.#nextExpiry = this.#closeSilent(now);
    if (policy.ignoreHijacked && this.#onlyWebSockets()) return false;
    return !this.#gone;
  }

  async closeAll(): Promise<void> {
    this.#forced = this.#gone ? 0 : this.#count();
    this.#stopped ??= Promise.resolve();
    const stopped = Promise.all([this.#server.stop(true), this.#stopped]);
    // Sessions of HTTP/2 with a stream in flight Bun would leave open for seconds.
    for (const { fd } of this.#kernelConns()) this.#kernel?.shutdown(fd);
    await forcedEnd(stopped);
    this.#gone = true;
  }

  /** Bun counts no connections: those that the drain found and nothing else has ended are drained. */
  get tally(): Tally {
    const idle = this.#closedIdle;
    const forced = this.#forced;
    const left = this.#gone ? 0 : this.#count();
    return { idle, forced, drained: Math.max(0, this.#openAtStart - idle - forced - left) };
  }

  connections(now: number): ConnInfo[] {
    const flights = new Map(
      this.#flights.current().map((flight) => [keyOf(flight.remoteAddr), flight.snapshot(now)]),
    );
    const webSockets = [...this.#webSockets].map(([{ remoteAddress }, opened]) => ({
      state: "hijacked" as const,
      age: now - opened,
      // Bun does not tell its port.
      remoteAddr: { transport: "tcp" as const, hostname: remoteAddress, port: 0 },
    }));
    const resting = this.#kernelConns().filter(({ remoteAddr }) => !flights.has(keyOf(remoteAddr)));
    return [...flights.values(), ...webSockets, ...withoutWebSockets(resting, webSockets)];
  }

  #kernelConns(): KernelConn[] {
    return this.#kernel?.connections(this.addr) ?? [];
  }

  /** How many connections are open: without the kernel's help, those that Bun counts. */
  #count(): number {
    return this.#kernelConns().length ||
      this.#server.pendingRequests + this.#server.pendingWebSockets;
  }

  /** Bun's graceful stop: idle connections close, the others after their response. */
  #stop(): void {
    if (this.#stopped !== undefined) return;
    this.#closedIdle += this.#server.closeIdleConnections();
    this.#stopped = this.#server.stop().then(() => {
      this.#gone = true;
      this.#onChange();
    });
  }

  /**
   * Closes the connections on which nothing has come for too long, and tells when the next one
   * will have been silent for that long.
   */
  #closeSilent(now: number): number {
    if (this.#kernel === undefined || this.addr.transport !== "tcp") {
      return this.#closeSilentUnseen(now);
    }
    let next = Infinity;
    for (const { fd, silent, silentFor } of this.#kernelConns()) {
      // With TLS the handshake has been received, and what came after it is not known.
      if (!silent && !(this.secure && this.#isQuiet())) continue;
      const expiry = performance.now() - silentFor + NEW_CONN_LIFETIME;
      if (now < expiry) {
        next = Math.min(next, expiry);
        continue;
      }
      this.#closedIdle++;
      this.#kernel.shutdown(fd);
    }
    return next;
  }

  /**
   * Where connections cannot be seen: after 5 s of drain, once no request is in flight, what is
   * left is silent, or has sent a part of a head, for at least so long.
   */
  #closeSilentUnseen(now: number): number {
    const expiry = (this.#drainStart ?? now) + NEW_CONN_LIFETIME;
    if (now < expiry) return expiry;
    if (this.#isQuiet()) this.#server.stop(true);
    return now;
  }

  /** Nothing is connected, as far as that can be seen. */
  #isEmpty(): boolean {
    const isSeen = this.#kernel !== undefined && this.addr.transport === "tcp";
    return isSeen && this.#isQuiet() && this.#kernelConns().length === 0;
  }

  #isQuiet(): boolean {
    return this.#server.pendingRequests + this.#server.pendingWebSockets === 0;
  }

  #onlyWebSockets(): boolean {
    return this.#server.pendingRequests === 0 && this.#server.pendingWebSockets > 0;
  }
}

function addrOf({ address }: BunServer, asked: Addr): Addr {
  return asked.transport === "unix"
    ? asked
    : { transport: "tcp", hostname: address.address, port: address.port };
}

/**
 * Bun closes a connection right behind its last response. What the client still sends then is
 * answered with a reset, which takes the response away, so an unread upload is taken in first.
 */
function afterUpload(request: Request, response: Response): Response | Promise<Response> {
  if (request.body === null || request.bodyUsed) return response;
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

/** Connections with no request in flight, less one from the same host for each WebSocket. */
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
