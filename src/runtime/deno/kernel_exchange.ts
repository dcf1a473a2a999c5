import type { Addr } from "../../core/addr.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import { Flight } from "../../server/flight.ts";
import { addrOf, type DenoInfo } from "../api/deno.ts";
import { internals } from "./internals.ts";
import type { KernelConnection } from "./kernel_connection.ts";
import { claimedLength } from "./upload.ts";

/** A request on a connection that only the kernel shows, with the info for its handler. */
export class KernelExchange extends Flight<DenoInfo> {
  /** The length of the body that the request claims, see {@linkcode claimedLength}. */
  readonly claimed: number | undefined;
  /** The connection, if it is known. */
  conn: KernelConnection | undefined;
  #remoteAddr: Addr | undefined;

  constructor(request: Request, native: DenoInfo, scope: RequestScope) {
    super(request, native, scope);
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

  protected override onEnd(release: () => void): void {
    // Deno's `completed` never settles if it is first read after the delivery.
    if (internals.isDelivered(this.native)) release();
    else this.native.completed.then(release, release);
  }
}
