import type { Addr } from "../../core/addr.ts";
import { type ConnInfo, inFlight, pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import { RequestInfo } from "../../server/request_info.ts";
import type { WebSocketLife } from "../../server/web_socket_life.ts";
import { addrOf, type DenoInfo } from "../api/deno.ts";
import type { Client, ClientExchange } from "./clients.ts";
import { internals } from "./internals.ts";
import type { KernelConnection } from "./kernel_connection.ts";
import { type Protocol, protocolOf } from "./protocol.ts";
import { claimedLength } from "./upload.ts";

/** A request on a connection that only the kernel shows, with the info for its handler. */
export class KernelExchange extends RequestInfo implements ClientExchange {
  readonly request: Request;
  readonly native: DenoInfo;
  readonly protocol: Protocol;
  /** The length of the body that the request claims, see {@linkcode claimedLength}. */
  readonly claimed: number | undefined;
  /** The client, while the driver knows the open connections. */
  client: Client<KernelConnection> | undefined;
  /** The connection, once the listener is closed, if the connection of the request is certain. */
  conn: KernelConnection | undefined;
  /** The life of the WebSocket that the request has become; otherwise undefined. */
  webSocketLife: WebSocketLife | undefined;
  /** Whether the response was made the last one of the connection. */
  isLast = false;
  /** Whether the request was answered before all of its body had been received. */
  isUnread = false;
  /** Whether the response was passed to Deno. */
  isAnswered = false;
  /** Whether the end of the exchange is going to be announced. */
  isFollowed = false;
  /**
   * The time at which the request was first seen to be in flight. Undefined until somebody asks, because
   * reading the clock costs a call.
   */
  #since: number | undefined;
  /**
   * The address of the client. It is read at once, because Deno forgets it when the request is answered or
   * upgraded.
   */
  readonly #peer: DenoInfo["remoteAddr"];

  constructor(request: Request, native: DenoInfo, scope: RequestScope) {
    super(scope);
    this.request = request;
    this.native = native;
    this.#peer = native.remoteAddr;
    this.protocol = protocolOf(request);
    this.claimed = claimedLength(request);
  }

  get remoteAddr(): Addr {
    return addrOf(this.#peer);
  }

  /** Whether the handler has not answered at once. */
  get isPending(): boolean {
    return this.#since !== undefined;
  }

  /** The time at which the request was first seen to be in flight; undefined before. */
  get since(): number | undefined {
    return this.#since;
  }

  /** Records that the handler has not answered at once. */
  markPending(): void {
    this.#since ??= performance.now();
  }

  override inFlight(): RequestInFlight {
    const { method, url } = this.request;
    this.#since ??= performance.now();
    return { method, path: pathOf(url), since: this.#since };
  }

  /** Returns a description of the request as an active connection. */
  snapshot(now: number): ConnInfo {
    const request = this.inFlight();
    const { remoteAddr } = this;
    return { state: "active", age: now - request.since, remoteAddr, ...inFlight(request, now) };
  }

  protected override onEnd(release: () => void): void {
    // Deno's `completed` never settles if it is first read after the delivery.
    const end = () => {
      if (this.webSocketLife === undefined) release();
      else this.webSocketLife.onEnd(release);
    };
    if (internals.isDelivered(this.native)) end();
    else this.native.completed.then(end, end);
  }
}
