import type { Addr } from "../../core/addr.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import type { Conn } from "../../server/conn_table.ts";
import { Flight } from "../../server/flight.ts";
import type { DenoInfo } from "../api/deno.ts";
import { Delivery } from "./internals.ts";
import { claimedLength, isUnread } from "./upload.ts";

/** A request on a connection of the engine `"deno"`, and what its handler is told. */
export class Exchange extends Flight<DenoInfo> {
  /** The number of bytes that the request claims of its body. */
  readonly claimed: number | undefined;
  /** Whether the request was answered before all of its body had been received. */
  isUnread = false;
  readonly #conn: Conn;
  readonly #delivery: Delivery;

  constructor(request: Request, native: DenoInfo, conn: Conn, scope: RequestScope) {
    super(request, native, scope);
    this.claimed = claimedLength(request);
    this.#conn = conn;
    this.#delivery = new Delivery(native);
  }

  get isInFlight(): boolean {
    return !this.#delivery.isDone;
  }

  get remoteAddr(): Addr {
    return this.#conn.remoteAddr;
  }

  /** To be called with its response, when its body can still be looked at. */
  look(): void {
    this.isUnread = isUnread(this.request, this.claimed);
  }

  protected override onEnd(release: () => void): void {
    // Asked for after the delivery, Deno's promise never settles.
    if (this.isInFlight) this.native.completed.then(release, release);
    else release();
  }
}
