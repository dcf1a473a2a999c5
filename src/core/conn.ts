import type { Addr } from "./addr.ts";

/**
 * The state of a connection. The words and their meaning are those of Go's `http.ConnState`:
 *
 * - `"new"`: accepted, nothing received yet.
 * - `"active"`: a request has been received at least in part, and is not yet answered in full.
 * - `"idle"`: kept alive between two requests.
 * - `"hijacked"`: no longer HTTP: a WebSocket, a CONNECT tunnel, an upgraded connection.
 * - `"closed"`: gone.
 */
export type ConnState = "new" | "active" | "idle" | "hijacked" | "closed";

/** A connection as it was when the snapshot was taken, for logs and reports. */
export interface ConnInfo {
  /** What the connection was doing. */
  readonly state: ConnState;
  /**
   * Milliseconds since it was accepted. `Bun.serve` does not tell when that was: with the engine
   * `"bun"` it is the time since the request in flight came, or else since the last byte did.
   */
  readonly age: number;
  /** The client's address. */
  readonly remoteAddr: Addr;
  /** The method of the request in flight, once its head has been received in full. */
  readonly method?: string;
  /** The path of the request in flight, without its query. */
  readonly path?: string;
  /** Milliseconds since the head of the request in flight was received. */
  readonly requestAge?: number;
}

/** A request that a connection is busy with. */
export interface RequestInFlight {
  readonly method: string;
  readonly path: string;
  /** When the request came, on the clock of `performance.now()`. */
  readonly since: number;
}

/** Returns what a {@linkcode ConnInfo} says of a request at `now`. */
export function inFlight(
  request: RequestInFlight | undefined,
  now: number,
): Pick<ConnInfo, "method" | "path" | "requestAge"> {
  if (request === undefined) return {};
  const { method, path, since } = request;
  return { method, path, requestAge: now - since };
}

/** The path of a request's target or URL, which need not be one that parses; without its query. */
export function pathOf(url: string): string {
  return url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").replace(/[?#].*/s, "") || "/";
}
