import { type ConnInfo, inFlight, pathOf, type RequestInFlight } from "../core/conn.ts";
import type { RequestScope } from "../core/request_scope.ts";
import { RequestInfo } from "./request_info.ts";

/** A fetch request in flight, and what its handler is told. `Native` is what the engine tells its handlers. */
export abstract class Flight<Native> extends RequestInfo {
  readonly request: Request;
  readonly native: Native;
  /** When the request came, on the clock of `performance.now()`. */
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

  /** Lists the request as an active connection. */
  snapshot(now: number): ConnInfo {
    return {
      state: "active",
      age: now - this.since,
      remoteAddr: this.remoteAddr,
      ...inFlight(this.inFlight(), now),
    };
  }
}
