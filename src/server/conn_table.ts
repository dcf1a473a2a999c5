import type { Addr } from "../core/addr.ts";
import { attempt } from "../core/attempt.ts";
import { type ConnInfo, type ConnState, inFlight, type RequestInFlight } from "../core/conn.ts";
import { reportError } from "../core/report_error.ts";

/** The number of ms that a connection without a byte received is kept during a drain: Go's figure. */
export const NEW_CONN_LIFETIME = 5_000;

/**
 * How long an idle session of HTTP/2 has to end itself once it was sent GOAWAY, in ms: Go's figure.
 * What its client begins behind that is not processed.
 */
export const GOAWAY_TIMEOUT = 1_000;

/** The policy of a poll: what it may close, and what it has to wait for. */
export interface PollPolicy {
  /** Whether to leave idle connections open, whose next request may be on the wire (`idleGrace`). */
  readonly spareIdle: boolean;
  /** Whether not to wait for hijacked connections, as Go does not. */
  readonly ignoreHijacked: boolean;
}

/** A connection as the table sees it. Its state is derived when it is asked for, never kept. */
export interface Conn {
  /** When the connection was accepted, on the clock of `performance.now()`. */
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

/** The number of connections that a drain found, by how they have ended. */
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

  /** Counts the ends of connections from now on, and calls `onChange` at each. */
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

  /** Closes the connections that are idle at `now`, and reports whether none is left to wait for. */
  closeIdleConns(now: number, policy: PollPolicy): boolean {
    let isQuiescent = true;
    for (const [conn, end] of this.#open) {
      const state = this.#stateOf(conn);
      if (state === "hijacked" && policy.ignoreHijacked) continue;
      isQuiescent = false;
      if (end === "forced") continue;
      // It was not as idle as it seemed: its next request had come in part.
      if (end === "idle" && state === "active") this.#open.set(conn, "serving");
      const expired = state === "new" && now - conn.acceptedAt >= NEW_CONN_LIFETIME;
      if (expired || (state === "idle" && !policy.spareIdle)) {
        this.#open.set(conn, "idle");
        if (!attempt(() => conn.closeIdle(now))) this.#destroy(conn);
      }
    }
    return isQuiescent;
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
      if (!this.#faulty.has(conn)) reportError(error);
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
