import type { Addr } from "../../core/addr.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import { Flight } from "../../server/flight.ts";
import type { DenoInfo } from "../api/deno.ts";
import { Delivery } from "./internals.ts";
import { claimedLength, isUnread } from "./upload.ts";

/** The connection of an {@linkcode Exchange}. */
export interface ExchangeConn {
  readonly remoteAddr: Addr;
  /**
   * Calls `release` when the request is over: at once, or if the request has become a WebSocket, when the
   * WebSocket has closed.
   */
  endRequest(release: () => void): void;
}

/** A request on a connection of the engine `"deno"`, with the info for its handler. */
export class Exchange extends Flight<DenoInfo> {
  /** The length of the body that the request claims, see {@linkcode claimedLength}. */
  readonly claimed: number | undefined;
  /** Whether the request was answered before all of its body had been received. */
  isUnread = false;
  readonly #conn: ExchangeConn;
  readonly #delivery: Delivery;

  constructor(request: Request, native: DenoInfo, conn: ExchangeConn, scope: RequestScope) {
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

  /** Sets `isUnread`. To be called when the request is answered, while Deno still shows its body. */
  recordUnread(): void {
    this.isUnread = isUnread(this.request, this.claimed);
  }

  protected override onEnd(release: () => void): void {
    // Deno's `completed` never settles if it is first read after the delivery.
    const end = () => this.#conn.endRequest(release);
    if (this.isInFlight) this.native.completed.then(end, end);
    else end();
  }
}
