/**
 * The engine `"deno-serve"`, the fallback on Deno: `Deno.serve` exposes requests but no connections, and its
 * own `shutdown()` decides which connections it closes.
 */
import { ignoringLeftClients } from "../../server/left_client.ts";
import { saysClientLeft } from "./left_client.ts";
import type { Refable } from "../../server/native_server.ts";
import { rmSync } from "node:fs";
import { attempt } from "../../core/attempt.ts";
import { reportError } from "../../core/report_error.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { PollPolicy, Tally } from "../../server/conn_table.ts";
import {
  type Engine,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import { Flight } from "../../server/flight.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import { type ClosingQueue, closingQueue, takeInServeQueue } from "./accept_queue.ts";
import { hasStaticBody, streamLargeBody } from "./body.ts";
import { ClientConns } from "./client_conns.ts";
import { lastOf } from "./last_response.ts";
import { internals } from "./internals.ts";
import { listenOptions } from "./listen.ts";
import { ServeWebSockets } from "./serve_web_sockets.ts";
import { claimedLength, isReceivable } from "./upload.ts";
import { disregardServeAddress } from "../host/serve_address.ts";
import { addrOf, deno, type DenoHttpServer, type DenoInfo } from "../api/deno.ts";
import { UpgradeError } from "../../core/errors.ts";
import {
  type ListeningSocket,
  openKernelSockets,
  openListenerKnown,
} from "../linux/kernel_sockets.ts";
import { type ReplaceableDriver, SuccessiveServers } from "../linux/successive_servers.ts";
import type { Driver } from "../../server/driver.ts";
import { FORCE_WAIT, within } from "../../core/within.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import { badRequest } from "../../server/last_response.ts";
import { isUpgrade, unavailable } from "../../server/refused_upgrade.ts";
import { WebSocketLife } from "../../server/web_socket_life.ts";
import { listenError } from "../host/listen_error.ts";
import { PlaceholderListener, soleListenerAt } from "../linux/placeholder_listener.ts";

/** Starts a server on the engine `"deno-serve"`. */
export function startDenoServe(handler: Handler, asked: ServeSettings): Driver {
  const settings = ignoringLeftClients(asked, saysClientLeft);
  const { tls, socket } = settings;
  if (tls === undefined) return new DenoServeDriver(handler, settings);
  return new SuccessiveServers(
    (certificates, socket) => {
      if (certificates.named.size > 0) {
        throw new UpgradeError("Cannot choose a certificate by the server name");
      }
      const now = { ...settings, socket, tls: { ...tls, certificates } };
      return new DenoServeDriver(handler, now);
    },
    tls.certificates,
    socket,
  );
}

/** The error with which `closeAll` cuts off the body of a response. */
const CUT = new DOMException("The server has been closed", "AbortError");

type OnError = ServeSettings["onError"];

class DenoServeDriver implements ReplaceableDriver {
  readonly engine: Engine = "deno-serve";
  readonly addr: Addr;
  readonly scheme: "http" | "https";
  readonly tally: Tally = { idle: 0, drained: 0, forced: 0 };
  readonly #server: DenoHttpServer;
  readonly #placeholder: PlaceholderListener<DenoHttpServer> | undefined;
  readonly #flights = new Set<CuttableFlight>();
  readonly #webSockets = new ServeWebSockets(
    (isCut) => this.#ended(isCut),
    new ClientConns(() => [this.addr]),
  );
  #endsConnections = false;
  #onChange: (() => void) | undefined;
  #stopped: Promise<void> | undefined;
  #gone = false;
  /** Whether another process accepts on the socket too. Not known until the drain starts. */
  #isShared = false;
  /** The socket that was opened here, as far as it is known. */
  readonly #own: ListeningSocket | undefined;
  /** The descriptor of the socket that has replaced a placeholder listener, or that another server accepts on too. */
  #fd: number | undefined;
  /** Whether the listener was closed while the connections stay open, because another server accepts on its socket. */
  #hasNoListener = false;
  /** The number of requests that the server has received. */
  #begun = 0;
  #queue: ClosingQueue | undefined;

  constructor(handler: Handler, settings: ServeSettings) {
    if (settings.socket !== undefined) disregardServeAddress();
    this.#placeholder = settings.socket && new PlaceholderListener(
      settings.socket,
      (where) => this.#serve(handler, { ...settings, listen: where, reusePort: false }),
      ({ addr }) => addrOf(addr),
      (server) => void server.shutdown(),
    );
    const { made, socket } = this.#placeholder === undefined
      ? openListenerKnown(
        () => this.#serve(handler, settings),
        ({ addr }) => addrOf(addr),
        (server) => void server.shutdown(),
      )
      : { made: this.#placeholder.listener, socket: undefined };
    this.#server = made;
    this.#own = socket;
    this.addr = settings.socket ?? addrOf(this.#server.addr);
    // Deno supports TLS only on TCP.
    this.scheme = settings.tls !== undefined && this.addr.transport === "tcp" ? "https" : "http";
  }

  get native(): unknown {
    return this.#server;
  }

  get handles(): readonly Refable[] {
    return [this.#server];
  }

  #serve(handler: Handler, settings: ServeSettings): DenoHttpServer {
    const { onError } = settings;
    const options = {
      ...settings.native.deno,
      ...listenOptions(settings),
      onListen: () => {},
      // #answer handles the errors of handlers. The remaining errors come from bodies that fail while
      // they are sent. CUT among them comes from closeAll() and is not an error of the caller.
      onError: (error: unknown) => error === CUT ? unavailable() : onError(error),
    };
    try {
      return deno().serve(options, (request, native) => {
        const flight = new CuttableFlight(request, native, settings);
        this.#follow(flight);
        return this.#answer(handler, flight, onError);
      });
    } catch (error) {
      throw listenError(settings.listen, error);
    }
  }

  acceptOn(fd: number): number {
    this.#fd = this.#placeholder!.replaceListener(fd);
    return this.#fd;
  }

  acceptBeside(fd: number): number {
    this.#fd = this.#placeholder!.acceptBeside(fd);
    return this.#fd;
  }

  listenerFd(): number {
    this.#fd ??= this.#own?.fd ?? soleListenerAt(this.addr);
    return this.#fd;
  }

  closeListenerAlone(): void {
    openKernelSockets()?.closingUnnoticed(this.listenerFd())();
    this.#hasNoListener = true;
  }

  /** Returns false: Deno does not show whether a connection is left. */
  endIfUnused(): boolean {
    return false;
  }

  #follow(flight: CuttableFlight): void {
    this.#begun++;
    this.#flights.add(flight);
    const end = () => {
      this.#flights.delete(flight);
      if (flight.webSocket === undefined) this.#ended(flight.isCut);
    };
    flight.native.completed.then(end, end);
  }

  /** Counts a request or a WebSocket that is over. */
  #ended(isCut: boolean): void {
    if (this.#onChange === undefined) return;
    this.tally[isCut ? "forced" : "drained"]++;
    this.#onChange();
  }

  async #answer(handler: Handler, flight: CuttableFlight, onError: OnError): Promise<Response> {
    const { request } = flight;
    if (!isReceivable(request, claimedLength(request))) return lastOf(request, badRequest());
    if (this.#onChange !== undefined && flight.asksForWebSocket) {
      return this.#finish(unavailable(), request);
    }
    try {
      const response = await Promise.race([handler(request, flight), flight.cut]);
      refuseUnsendable(response);
      if (response.status === 101) return this.#upgraded(response, flight);
      streamLargeBody(response);
      return this.#finish(flight.cuttable(response), request);
    } catch (error) {
      return this.#finish(await onError(error), request);
    }
  }

  #upgraded(response: Response, flight: CuttableFlight): Response {
    const socket = internals.webSocketOf(response);
    if (socket === undefined) return response;
    const { remoteAddr, since, native } = flight;
    const life = new WebSocketLife();
    flight.webSocket = life;
    this.#webSockets.add(socket, { remoteAddr, since, life }, native.completed);
    return response;
  }

  #finish(response: Response, request: Request): Response {
    return this.#endsConnections ? lastOf(request, response) : response;
  }

  startLameDuck(): void {
    this.#endsConnections = true;
  }

  startDrain(onChange: () => void, isShared?: boolean): void {
    this.#isShared = isShared ?? false;
    this.#onChange = onChange;
  }

  endConnections(): void {
    this.#endsConnections = true;
  }

  waitingToBeAccepted(): number | undefined {
    this.#queue = closingQueue(this.addr, () => this.#begun, {
      own: this.#own,
      given: this.#fd,
      isShared: this.#isShared,
      refuses: false,
    });
    return this.#queue.waiting() || undefined;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#queue === undefined ? Promise.resolve() : takeInServeQueue(this.#queue, force);
  }

  closeListeners(spareIdle: boolean): void {
    attempt(() => this.#queue?.close?.());
    const closed = this.#hasNoListener || (spareIdle && this.#placeholder?.closeListener());
    if (!closed || !spareIdle) this.#stopUnlessWebSockets();
    const { path } = this.#server.addr;
    if (this.#placeholder === undefined && path !== undefined) rmSync(path, { force: true });
  }

  closeWebSockets(handshake: ClosingHandshake): void {
    this.#webSockets.close(handshake);
  }

  /** Whether a WebSocket is open, or may become open because its request is in flight. */
  get #hasWebSockets(): boolean {
    return !this.#webSockets.isEmpty ||
      [...this.#flights].some(({ asksForWebSocket }) => asksForWebSocket);
  }

  /**
   * Starts Deno's own graceful stop, unless there are WebSockets. The stop closes the listener together with
   * idle and new connections, and cuts WebSockets off.
   */
  #stopUnlessWebSockets(): void {
    if (!this.#hasWebSockets) this.#stop();
  }

  #stop(): void {
    this.#stopped ??= this.#server.shutdown().catch(reportError).finally(() => {
      this.#gone = true;
      this.#onChange?.();
    });
  }

  closeIdleConns(_now: number, policy: PollPolicy): boolean {
    if (policy.ignoreHijacked) this.#stop();
    else if (!policy.spareIdle) this.#stopUnlessWebSockets();
    return this.#gone;
  }

  /**
   * Ends all requests, except for an upload that is being read. The `signal` of `Deno.serve` cannot be
   * used here, because aborting it after `shutdown()` would end the process.
   */
  async closeAll(): Promise<void> {
    this.#stop();
    this.#webSockets.cutAll();
    for (const flight of this.#flights) flight.end();
    if (this.#stopped !== undefined) await within(this.#stopped, FORCE_WAIT);
    // Only the client can end a request that is left, such as an upload that is being read.
    this.#gone = true;
  }

  connections(now: number): ConnInfo[] {
    const flights = [...this.#flights].map((flight) => flight.snapshot(now));
    return [...flights, ...this.#webSockets.snapshot(now)];
  }
}

/** A request in flight that can be ended, with the info for its handler. */
class CuttableFlight extends Flight<DenoInfo> {
  readonly remoteAddr: Addr;
  readonly asksForWebSocket: boolean;
  /** The life of the WebSocket that the request has become. */
  webSocket: WebSocketLife | undefined;
  readonly #cut = new AbortController();
  /** A promise that resolves with the response to send when `end()` is called. */
  readonly cut: Promise<Response>;

  constructor(request: Request, native: DenoInfo, scope: RequestScope) {
    super(request, native, scope);
    this.remoteAddr = addrOf(native.remoteAddr);
    this.asksForWebSocket = isUpgrade(internals.headerOf(request, "upgrade"));
    this.cut = new Promise((resolve) => {
      this.#cut.signal.addEventListener("abort", () => {
        resolve(unavailable());
      });
    });
  }

  get isCut(): boolean {
    return this.#cut.signal.aborted;
  }

  end(): void {
    this.#cut.abort(CUT);
  }

  /** Returns the response, with a body that `end()` cuts off if the body is a stream. */
  cuttable(response: Response): Response {
    if (this.isCut || hasStaticBody(response)) return response;
    if (response.body === null) return response;
    const { status, statusText, headers } = response;
    const body = response.body.pipeThrough(new TransformStream(), { signal: this.#cut.signal });
    return new Response(body, { status, statusText, headers });
  }

  protected override onEnd(release: () => void): void {
    const end = () => {
      if (this.webSocket === undefined) release();
      else this.webSocket.onEnd(release);
    };
    this.native.completed.then(end, end);
  }
}
