import { type Addr, unmapped } from "../../core/addr.ts";
import { Flight } from "../../server/flight.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import type { WebSocketLife } from "../../server/web_socket_life.ts";
import type { BunServer } from "../api/bun.ts";

/** The number of new requests after which {@linkcode Flights} removes the requests that are over. */
const SWEEP_AT = 256;

/** Converts the address of a client from Bun's form. */
export function peerOf({ address, port }: { address: string; port: number }): Addr {
  return { transport: "tcp", hostname: unmapped(address), port };
}

/** A request of `Bun.serve`, with the info for its handler. */
export class BunFlight extends Flight<BunServer> {
  /** Whether the handler has answered or failed. */
  answered = false;
  readonly #server: Addr;
  #peer: Addr | null = null;
  #release: (() => void) | undefined;
  /** The life of the WebSocket that the request has become. */
  #webSocket: WebSocketLife | undefined;

  constructor(request: Request, native: BunServer, server: Addr, scope: RequestScope) {
    super(request, native, scope);
    this.#server = server;
  }

  /**
   * The native server, under the name by which Hono's helpers for Bun look for it in the second argument of a
   * handler.
   */
  get server(): BunServer {
    return this.native;
  }

  get remoteAddr(): Addr {
    if (this.#server.transport === "unix") return { transport: "unix", path: "" };
    // The getter keeps the address of the client while Bun knows the address.
    void this.isDelivered;
    return this.#peer ?? { transport: "tcp", hostname: "", port: 0 };
  }

  /**
   * Whether the response has been delivered or the client has left. Bun knows the client's address until
   * then. On a unix socket Bun never shows an address, so a response counts as delivered as soon as the
   * handler has answered.
   */
  get isDelivered(): boolean {
    if (this.#server.transport === "unix") return this.answered;
    const peer = this.native.requestIP(this.request);
    if (peer === null) return true;
    this.#peer ??= peerOf(peer);
    return false;
  }

  /** Keeps the drain notice of the request until the WebSocket that the request has become has closed. */
  becomeWebSocket(life: WebSocketLife): void {
    this.#webSocket = life;
    if (this.#release !== undefined) life.onEnd(this.#release);
  }

  /** Releases the drain notice of the request. To be called when the request is over. */
  end(): void {
    if (this.#webSocket === undefined) this.#release?.();
  }

  protected override onEnd(release: () => void): void {
    if (this.#webSocket === undefined) this.#release = release;
    else this.#webSocket.onEnd(release);
  }
}

/**
 * The requests in flight on one server. Requests that are over are removed only now and then, because
 * asking Bun about each request as it ends would cost more.
 */
export class Flights {
  /** The requests that were in flight at the last sweep. */
  readonly #older = new Set<BunFlight>();
  /** The requests that have become WebSockets. */
  readonly #upgraded = new WeakSet<Request>();
  /** The requests that have arrived since the last sweep. */
  #recent: BunFlight[] = [];

  add(info: BunFlight): void {
    this.#recent.push(info);
    if (this.#recent.length === SWEEP_AT) this.sweep();
  }

  /** Records that a request has become a WebSocket, with the life of the WebSocket. */
  markUpgraded(request: Request, life: WebSocketLife): void {
    this.#upgraded.add(request);
    const isOf = (info: BunFlight) => info.request === request;
    const info = this.#recent.findLast(isOf) ?? [...this.#older].find(isOf);
    info?.becomeWebSocket(life);
  }

  isUpgraded({ request }: BunFlight): boolean {
    return this.#upgraded.has(request);
  }

  current(): BunFlight[] {
    this.sweep();
    return [...this.#older];
  }

  /** Whether a handler has not answered yet, even if its client has left. */
  get hasUnanswered(): boolean {
    return this.current().some((info) => !this.#isAnswered(info));
  }

  /** Ends and removes the requests that are over. */
  sweep(): void {
    for (const info of this.#older) {
      if (!this.#isOver(info)) continue;
      this.#older.delete(info);
      info.end();
    }
    for (const info of this.#recent) {
      if (this.#isOver(info)) info.end();
      else this.#older.add(info);
    }
    this.#recent = [];
  }

  /** Ends and removes all requests, even requests that are not over. */
  abandon(): void {
    for (const info of this.current()) info.end();
    this.#older.clear();
  }

  #isAnswered(info: BunFlight): boolean {
    return info.answered || this.isUpgraded(info);
  }

  #isOver(info: BunFlight): boolean {
    return info.isDelivered && this.#isAnswered(info);
  }
}
