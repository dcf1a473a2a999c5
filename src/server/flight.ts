import { type ConnInfo, inFlight, pathOf, type RequestInFlight } from "../core/conn.ts";
import type { RequestScope } from "../core/request_scope.ts";
import { RequestInfo } from "./request_info.ts";

/** A fetch request in flight, with the info for its handler. `Native` is the engine's own info type. */
export abstract class Flight<Native> extends RequestInfo {
  readonly request: Request;
  readonly native: Native;
  /** The time at which the request arrived, on the clock of `performance.now()`. */
  readonly since: number = performance.now();

  constructor(request: Request, native: Native, scope: RequestScope) {
    super(scope);
    this.request = request;
    this.native = native;
  }

  override inFlight(): RequestInFlight {
    const { method, url } = this.request;
    return { method, path: pathOf(url), since: this.since };
  }

  /** Returns a description of the request as an active connection. */
  snapshot(now: number): ConnInfo {
    return {
      state: "active",
      age: now - this.since,
      remoteAddr: this.remoteAddr,
      ...inFlight(this.inFlight(), now),
    };
  }
}
