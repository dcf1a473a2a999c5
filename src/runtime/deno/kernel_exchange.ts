import type { Addr } from "../../core/addr.ts";
import { type ConnInfo, inFlight, pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import { RequestInfo } from "../../server/request_info.ts";
import { addrOf, type DenoInfo } from "../api/deno.ts";
import { internals } from "./internals.ts";
import type { KernelConnection } from "./kernel_connection.ts";
import { claimedLength } from "./upload.ts";

/** A request on a connection that only the kernel shows, with the info for its handler. */
export class KernelExchange extends RequestInfo {
  readonly request: Request;
  readonly native: DenoInfo;
  /** The length of the body that the request claims, see {@linkcode claimedLength}. */
  readonly claimed: number | undefined;
  /** The connection, if it is known. */
  conn: KernelConnection | undefined;
  /** The time at which the request was first seen to be in flight, which costs a call to find out. */
  #since: number | undefined;
  #remoteAddr: Addr | undefined;

  constructor(request: Request, native: DenoInfo, scope: RequestScope) {
    super(scope);
    this.request = request;
    this.native = native;
    this.claimed = claimedLength(request);
  }

  /** The address of the client. Deno forgets the address when the response is delivered. */
  get remoteAddr(): Addr {
    if (this.#remoteAddr === undefined) {
      try {
        this.#remoteAddr = addrOf(this.native.remoteAddr);
      } catch {
        return { transport: "tcp", hostname: "", port: 0 };
      }
    }
    return this.#remoteAddr;
  }

  /** To be called when the handler has not answered at once. */
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
    if (internals.isDelivered(this.native)) release();
    else this.native.completed.then(release, release);
  }
}
