import { attempt } from "./attempt.ts";
import { complain } from "./report_error.ts";

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

/**
 * An address as `Deno.Addr` has it. A unix socket's client has an empty path, for it has no name.
 */
export type Addr =
  | {
    /** TCP, over IPv4 or IPv6. */
    readonly transport: "tcp";
    /** The IP address. */
    readonly hostname: string;
    /** The port, 1 to 65535. */
    readonly port: number;
  }
  | {
    /** A unix domain socket. */
    readonly transport: "unix";
    /** The path of the socket's file. */
    readonly path: string;
  };

/** One connection as it was when the snapshot was taken, for logs and reports. */
export interface ConnInfo {
  /** What it was doing. */
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

/** What a connection is busy with. */
export interface RequestInFlight {
  readonly method: string;
  readonly path: string;
  /** When it came, on the clock of `performance.now()`. */
  readonly since: number;
}

/** What a {@linkcode ConnInfo} says of it at `now`. */
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

/** How long a connection on which nothing was received is kept during a drain: Go's figure, in ms. */
export const NEW_CONN_LIFETIME = 5_000;

/**
 * How long an idle session of HTTP/2 has to end itself once it was sent GOAWAY, in ms: Go's figure.
 * What its client begins behind that is not processed.
 */
export const GOAWAY_TIMEOUT = 1_000;

/** What a poll may close and what it has to wait for. */
export interface PollPolicy {
  /** Leave idle connections open, for their next request may be on the wire (`idleGrace`). */
  readonly spareIdle: boolean;
  /** Do not wait for hijacked connections (Go's way). */
  readonly ignoreHijacked: boolean;
}

/** A connection as the table sees it. Its state is derived when it is asked for, never kept. */
export interface Conn {
  /** When it was accepted, on the clock of `performance.now()`. */
  readonly acceptedAt: number;
  readonly remoteAddr: Addr;
  state(): ConnState;
  /** The request in flight. */
  request(): RequestInFlight | undefined;
  /**
   * Starts to close a connection that at `now` is idle or has been new for too long. Called again at
   * each poll that finds it so.
   */
  closeIdle(now: number): void;
  /** Ends it at once, whatever it is doing. */
  destroy(): void;
}

/** How the connections that a drain found have ended. */
export interface Tally {
  idle: number;
  drained: number;
  forced: number;
}

/**
 * The open connections of one server, for engines that show them one by one.
 *
 * Go's rule of what a poll closes is here and nowhere else.
 */
export class ConnTable<C extends Conn> {
  readonly tally: Tally = { idle: 0, drained: 0, forced: 0 };
  readonly #open = new Map<C, "serving" | "idle" | "forced">();
  /** The connections that have failed to tell their state, which has been reported. */
  readonly #faulty = new WeakSet<C>();
  #draining = false;
  #onChange = (): void => {};
  #empty = Promise.withResolvers<void>();

  /** From now on ends are counted, and `onChange` is called at each. */
  startDrain(onChange: () => void): void {
    this.#draining = true;
    this.#onChange = onChange;
  }

  add(conn: C): void {
    this.#open.set(conn, "serving");
  }

  /** To be called when the connection is really gone. */
  delete(conn: C): void {
    const end = this.#open.get(conn);
    if (end === undefined) return;
    this.#open.delete(conn);
    if (!this.#draining) return;
    this.tally[end === "serving" ? "drained" : end]++;
    if (this.#open.size === 0) this.#empty.resolve();
    this.#onChange();
  }

  /** Closes what is idle at `now` and tells whether there is a connection left to wait for. */
  closeIdle(now: number, policy: PollPolicy): boolean {
    let left = false;
    for (const [conn, end] of this.#open) {
      const state = this.#stateOf(conn);
      if (state === "hijacked" && policy.ignoreHijacked) continue;
      left = true;
      if (end === "forced") continue;
      // It was not as idle as it seemed: its next request had come in part.
      if (end === "idle" && state === "active") this.#open.set(conn, "serving");
      const expired = state === "new" && now - conn.acceptedAt >= NEW_CONN_LIFETIME;
      if (expired || (state === "idle" && !policy.spareIdle)) {
        this.#open.set(conn, "idle");
        if (!attempt(() => conn.closeIdle(now))) this.#destroy(conn);
      }
    }
    return left;
  }

  /** Ends all connections, and resolves when they are gone. */
  async destroyAll(): Promise<void> {
    for (const conn of [...this.#open.keys()]) {
      this.#open.set(conn, "forced");
      this.#destroy(conn);
    }
    if (this.#open.size > 0) await this.#empty.promise;
  }

  /** A connection that cannot even be destroyed is waited for no longer. */
  #destroy(conn: C): void {
    if (!attempt(() => conn.destroy())) this.delete(conn);
  }

  /** A connection that fails to tell its state may have a request in flight. */
  #stateOf(conn: C): ConnState {
    try {
      return conn.state();
    } catch (error) {
      if (!this.#faulty.has(conn)) complain(error);
      this.#faulty.add(conn);
      return "active";
    }
  }

  [Symbol.iterator](): Iterator<C> {
    return this.#open.keys();
  }

  snapshot(now: number): ConnInfo[] {
    return [...this.#open.keys()].map((conn) => ({
      state: this.#stateOf(conn),
      age: now - conn.acceptedAt,
      remoteAddr: conn.remoteAddr,
      ...inFlight(conn.request(), now),
    }));
  }
}
