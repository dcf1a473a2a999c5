/** The engine `"bun"`: `Bun.serve`, and the kernel for everything that Bun does not show or cannot do. */
import { ignoringLeftClients } from "../../server/left_client.ts";
import { saysClientLeft } from "./left_client.ts";
import process from "node:process";
import type { ConnInfo } from "../../core/conn.ts";
import { type Addr, keyOf } from "../../core/addr.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import {
  type Answer,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import { BunExpiry } from "./expiry.ts";
import type { LimitSettings } from "../../options/limits.ts";
import { BunFlight, Flights, peerOf } from "./flights.ts";
import { BunServeDriver } from "./serve_driver.ts";
import { refusedOption, serveOptions } from "./serve_options.ts";
import { bun, type BunServer } from "../api/bun.ts";
import { type BunHandler, ServedContent } from "./served_content.ts";
import { afterUpload, UnreadUploads } from "./uploads.ts";
import { BunWebSockets } from "./web_sockets.ts";
import type { Driver } from "../../server/driver.ts";
import { originalOf } from "../../server/body_limit.ts";
import { sayingClose } from "../../server/last_response.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { LINGER } from "../../server/linger.ts";
import { UpgradeError } from "../../core/errors.ts";
import { WebSocketLife } from "../../server/web_socket_life.ts";
import { ShortTurns } from "../host/short_turns.ts";
import { listenError } from "../host/listen_error.ts";
import { ServerSockets } from "../linux/server_sockets.ts";
import { LONGEST_WITHHELD } from "../linux/withheld_conns.ts";
import { PlaceholderListener, soleListenerAt } from "../linux/placeholder_listener.ts";
import { type ReplaceableDriver, SuccessiveServers } from "../linux/successive_servers.ts";

/** Starts a server on the engine `"bun"`. */
export function startBun(handler: Handler, asked: ServeSettings): Driver {
  const settings = ignoringLeftClients(asked, saysClientLeft);
  const { tls, socket } = settings;
  const isHandedOver = socket !== undefined;
  const content = new ServedContent(handler, settings.native.bun["routes"]);
  if (tls === undefined) return new BunDriver(content, settings, isHandedOver);
  return new SuccessiveServers(
    (certificates, socket) => {
      if (socket !== undefined && settings.native.bun["http3"] === true) {
        throw new UpgradeError("Cannot hand the socket of HTTP/3 to another server");
      }
      const now = { ...settings, socket, tls: { ...tls, certificates } };
      return new BunDriver(content, now, isHandedOver);
    },
    tls.certificates,
    socket,
  );
}

class BunDriver extends BunServeDriver implements ReplaceableDriver {
  readonly scheme: "http" | "https";
  readonly addr: Addr;
  protected readonly server: BunServer;
  protected sockets: ServerSockets | undefined;
  /** Whether another process may get the listener. */
  readonly #isHandedOver: boolean;
  readonly #placeholder: PlaceholderListener<BunServer> | undefined;
  readonly #flights = new Flights();
  readonly #unread = new UnreadUploads();
  readonly #turns = new ShortTurns();
  /** The timer that ends the time in which clients may keep sending unread uploads. */
  #linger: ReturnType<typeof setTimeout> | undefined;
  #isLingerOver = false;
  readonly #webSockets = new BunWebSockets({
    open: () => this.open(),
    exists: (conn) => this.exists(conn),
    cut: (conn) => this.cut(conn),
  });
  #endsConnections = false;
  /**
   * The {@linkcode BunExpiry} that closes connections that exceed a time limit; undefined if the kernel does
   * not show the connections.
   */
  #expiry: BunExpiry | undefined;
  readonly #limits: LimitSettings;
  readonly #onError: ServeSettings["onError"];
  /** Makes Bun serve the current content. */
  #update = (): void => {};
  readonly #content: ServedContent;

  constructor(content: ServedContent, settings: ServeSettings, isHandedOver: boolean) {
    super();
    this.#content = content;
    this.#limits = settings.limits;
    this.#onError = settings.onError;
    this.scheme = settings.tls === undefined ? "http" : "https";
    this.#isHandedOver = isHandedOver;
    this.#placeholder = settings.socket && new PlaceholderListener(
      settings.socket,
      (where) => this.#serve({ ...settings, listen: where, reusePort: false }),
      addrOf,
      (server) => void server.stop(true),
    );
    if (this.#placeholder !== undefined) {
      this.server = this.#placeholder.listener;
      this.addr = settings.socket!;
    } else {
      const before = this.#connectionsAt(settings.listen);
      const { made, fd } = this.#opening(
        () => this.#serve(settings),
        settings.listen,
      );
      this.server = made;
      this.addr = addrOf(this.server, settings.listen);
      this.#setBacklog(fd, settings.backlog);
      if (fd !== undefined) this.#trackSockets(fd, before);
      // Other servers will listen at the same address.
      if (settings.reusePort) this.sockets?.disableDeferAccept();
    }
    this.#watchReloads();
    this.#takeLimitedRequests();
    this.#watchUpgrades();
  }

  acceptOn(fd: number): number {
    const listener = this.#placeholder!.replaceListener(fd);
    this.#trackSockets(listener);
    return listener;
  }

  acceptBeside(fd: number): number {
    const strangers = this.#connectionsAt(this.addr);
    const listener = this.#placeholder!.acceptBeside(fd);
    this.#trackSockets(listener, strangers);
    return listener;
  }

  listenerFd(): number {
    return this.sockets?.listener ?? soleListenerAt(this.addr);
  }

  endIfUnused(): boolean {
    if (!this.isEmpty() || this.#flights.hasUnanswered) return false;
    this.#expiry?.stop();
    this.server.stop(true);
    return true;
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
    // A listener that several processes share outlives the drain, so the drain cannot wait for the connections
    // that Linux withholds. And a short time limit would be over before Linux shows such a connection.
    if (this.#isHandedOver || this.#limits.headerTimeout < LONGEST_WITHHELD) {
      this.sockets.disableDeferAccept();
    }
    // The kernel reports nothing about the traffic of a unix socket.
    if (this.addr.transport === "unix") return;
    const busy = () => new Set(this.#flights.current().map(({ remoteAddr }) => keyOf(remoteAddr)));
    this.#expiry = new BunExpiry(
      this.sockets,
      this.#limits,
      busy,
      (conn) => this.#unread.has(conn),
    );
  }

  /**
   * Makes `reload` of the native server replace the handler and the routes. The new ones are wrapped like the
   * old ones.
   */
  #watchReloads(): void {
    const { server } = this;
    server.reload = (options) => {
      this.#content.replace(options);
      this.#update();
      return server;
    };
  }

  /**
   * Makes the methods of the native server accept requests whose body is limited: Bun itself knows only the
   * original requests.
   */
  #takeLimitedRequests(): void {
    const { server } = this;
    const requestIP = server.requestIP.bind(server);
    const timeout = server.timeout.bind(server);
    server.requestIP = (request) => requestIP(originalOf(request));
    server.timeout = (request, seconds) => timeout(originalOf(request), seconds);
  }

  /**
   * Records the requests that become WebSockets. After an upgrade the handler may return no response, and
   * Bun does not show that it has upgraded the request.
   */
  #watchUpgrades(): void {
    const { server } = this;
    const upgrade = server.upgrade.bind(server);
    server.upgrade = (given, ...options) => {
      const request = originalOf(given);
      const life = new WebSocketLife();
      const peer = this.#peerOf(request);
      const isUpgraded = this.#webSockets.upgrade(peer, life, () => upgrade(request, ...options));
      if (isUpgraded) this.#flights.markUpgraded(request, life);
      if (isUpgraded) this.#expiry?.hijacked(keyOf(peer));
      return isUpgraded;
    };
  }

  #peerOf(request: Request): Addr {
    if (this.addr.transport === "unix") return { transport: "unix", path: "" };
    return peerOf(this.server.requestIP(request) ?? { address: "", port: 0 });
  }

  #serve(settings: ServeSettings): BunServer {
    const answering = (handle: BunHandler) => (request: Request, server: BunServer) =>
      this.#handle(handle, new BunFlight(request, server, this.addr, settings));
    const { onError, websocket } = settings;
    const options = serveOptions(settings, {
      error: async (error) => this.#lastIfEnding(await onError(error)),
      websocket: websocket && this.#webSockets.handlers(websocket),
    });
    const content = () => this.#content.options(answering, this.#endsConnections);
    try {
      const server = bun().serve({ ...options, ...content() });
      const reload = server.reload.bind(server);
      this.#update = () => void reload({ ...options, ...content() });
      return server;
    } catch (error) {
      throw refusedOption(error) ?? listenError(settings.listen, error);
    }
  }

  #lastIfEnding(response: Response): Response {
    return this.#endsConnections ? sayingClose(response) : response;
  }

  #handle(handle: BunHandler, info: BunFlight): Answer | Promise<Answer> {
    const { request } = info;
    this.#flights.add(info);
    this.#unread.begin(request);
    try {
      const isRefused = this.drainStart !== undefined && isUpgrade(request.headers.get("upgrade"));
      // An upgrade can be refused while the accept queue is emptied, before other responses end connections.
      const response = isRefused ? sayingClose(unavailable()) : this.#inShortTurn(handle, info);
      return response instanceof Promise
        ? this.#answerLater(response, info)
        : this.#answer(response, info);
    } catch (error) {
      return this.#answerError(error, info);
    }
  }

  #inShortTurn(handle: BunHandler, info: BunFlight): Answer | Promise<Answer> {
    const wait = this.#turns.wait();
    if (wait === undefined) return handle(info.request, info);
    // The getter keeps the address of a client that leaves meanwhile.
    void info.remoteAddr;
    return wait.then(() => handle(info.request, info));
  }

  #answer(response: Answer, info: BunFlight): Answer | Promise<Answer> {
    this.#settle(info);
    if (response === undefined && this.#flights.isUpgraded(info)) return undefined;
    refuseUnsendable(response);
    if (this.#endsConnections) return afterUpload(info.request, sayingClose(response));
    this.#unread.answered(info, () => this.open());
    return response;
  }

  async #answerLater(pending: Promise<Answer>, info: BunFlight): Promise<Answer> {
    try {
      return this.#answer(await pending, info);
    } catch (error) {
      return await this.#answerError(error, info);
    }
  }

  /** Answers a request that has failed. Bun's own `error` handler is not used, because it does not get the request. */
  async #answerError(error: unknown, info: BunFlight): Promise<Answer> {
    return this.#answer(await this.#onError(error), info);
  }

  /**
   * Records that the handler has answered or failed. If the client has left by then, no other event says
   * that the request is over.
   */
  #settle(info: BunFlight): void {
    info.answered = true;
    if (this.drainStart !== undefined && info.isDelivered) this.onChange();
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
    this.#endConnections();
    // If the drain starts at least a second later, the kernel then withholds no connection.
    this.sockets?.disableDeferAccept();
  }

  #endConnections(): void {
    if (this.#endsConnections) return;
    this.#endsConnections = true;
    if (this.#content.hasRoutes) this.#update();
  }

  override startDrain(onChange: () => void, isShared?: boolean): void {
    super.startDrain(onChange, isShared);
    this.#flights.sweep();
    this.#webSockets.startDrain();
  }

  endConnections(): void {
    this.#endConnections();
  }

  closeWebSockets(handshake: ClosingHandshake): void {
    this.#webSockets.close(handshake);
  }

  protected override get hasClosingWebSockets(): boolean {
    return this.#webSockets.isClosing;
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!policy.spareIdle) this.#endUnread();
    const isQuiescent = super.closeIdleConns(now, policy) && !this.#flights.hasUnanswered;
    if (isQuiescent) {
      clearTimeout(this.#linger);
      this.#expiry?.stop();
    }
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
    this.#expiry?.stop();
    this.#webSockets.cutAll();
    await super.closeAll();
    this.#flights.abandon();
  }

  connections(now: number): ConnInfo[] {
    const flights = this.#flights.current();
    const webSockets = this.#webSockets.snapshot(now);
    const known = new Set([...flights, ...webSockets].map(({ remoteAddr }) => keyOf(remoteAddr)));
    const unknown = this.open().filter(({ remoteAddr }) => !known.has(keyOf(remoteAddr)));
    return [
      ...flights.map((flight) => flight.snapshot(now)),
      ...webSockets,
      ...unknown.map(({ silent, silentFor, remoteAddr }) => ({
        state: silent ? "new" as const : "idle" as const,
        age: silentFor,
        remoteAddr,
      })),
      ...this.withheld(),
    ];
  }
}

function addrOf({ address }: BunServer, asked: Addr): Addr {
  return typeof address === "string"
    ? asked
    : { transport: "tcp", hostname: address.address, port: address.port };
}
