import type { Addr } from "./addr.ts";

/**
 * The state of a connection. The names and their meanings are from Go's `http.ConnState`:
 *
 * - `"new"`: accepted, nothing received yet.
 * - `"active"`: a request has been received at least in part, and is not yet answered in full.
 * - `"idle"`: kept alive between two requests.
 * - `"hijacked"`: no longer HTTP: a WebSocket, a CONNECT tunnel, an upgraded connection.
 * - `"closed"`: gone.
 */
export type ConnState = "new" | "active" | "idle" | "hijacked" | "closed";

/** A snapshot of a connection, for logs and reports. */
export interface ConnInfo {
  /** The state of the connection when the snapshot was taken. */
  readonly state: ConnState;
  /**
   * The number of milliseconds since the connection was accepted. `Bun.serve` does not report that time:
   * with the engine `"bun"` the age counts from the arrival of the request in flight, or, if there is none,
   * from the last byte received.
   */
  readonly age: number;
  /** The client's address. */
  readonly remoteAddr: Addr;
  /** The method of the request in flight, once its head has been received in full. */
  readonly method?: string;
  /** The path of the request in flight, without the query. */
  readonly path?: string;
  /** The number of milliseconds since the head of the request in flight was received. */
  readonly requestAge?: number;
}

/** A request that a connection is busy with. */
export interface RequestInFlight {
  readonly method: string;
  readonly path: string;
  /** The time at which the request arrived, on the clock of `performance.now()`. */
  readonly since: number;
}

/** Returns the fields of a {@linkcode ConnInfo} that describe the request in flight at the time `now`. */
export function inFlight(
  request: RequestInFlight | undefined,
  now: number,
): Pick<ConnInfo, "method" | "path" | "requestAge"> {
  if (request === undefined) return {};
  const { method, path, since } = request;
  return { method, path, requestAge: now - since };
}

/** Returns the path of a request target or URL, without the query. The URL does not have to be valid. */
export function pathOf(url: string): string {
  return url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").replace(/[?#].*/s, "") || "/";
}
