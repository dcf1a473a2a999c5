import type { Addr } from "../core/addr.ts";
import { attempt } from "../core/attempt.ts";
import { type ConnInfo, type ConnState, inFlight, type RequestInFlight } from "../core/conn.ts";
import { reportError } from "../core/report_error.ts";

/** The number of ms for which a drain keeps a connection that has received no byte. Go uses the same. */
export const NEW_CONN_LIFETIME = 5_000;

/**
 * The number of ms that an idle HTTP/2 session may take to end after it was sent GOAWAY. Go uses the same.
 * Requests that the client starts after the GOAWAY are not processed.
 */
export const GOAWAY_TIMEOUT = 1_000;

/** The policy of a poll: which connections the poll may close, and for which it has to wait. */
export interface PollPolicy {
  /** Whether idle connections stay open, because their next request may be on the wire (`idleGrace`). */
  readonly spareIdle: boolean;
  /** Whether the poll does not wait for hijacked connections, as in Go. */
  readonly ignoreHijacked: boolean;
  /** Whether the poll need look only at the connections that have changed since the last poll. */
  readonly onlyChanged: boolean;
  /** Whether the poll closes every idle connection in one turn of the event loop, however many there are. */
  readonly atOnce: boolean;
}

/** A connection as the table sees it. The state is computed at each call and never stored. */
export interface Conn {
  /** The time at which the connection was accepted, on the clock of `performance.now()`. */
  readonly acceptedAt: number;
  readonly remoteAddr: Addr;
  state(): ConnState;
  /** Returns the request in flight, or undefined if there is none. */
  request(): RequestInFlight | undefined;
  /**
   * Starts to close the connection, which at `now` is idle or has been new for too long. Each poll that
   * finds the connection in that state calls it again.
   */
  closeIdle(now: number): void;
  /** Ends the connection at once, whatever its state. */
  destroy(): void;
}

/** The numbers of connections that ended during a drain, by the way in which they ended. */
export interface Tally {
  idle: number;
  drained: number;
  forced: number;
}

/**
 * The number of ms that one poll spends on closing connections. What is left waits for the next turn of the
 * event loop, so that requests in flight go on. The runtimes need about as long again for the closes.
 */
const SLICE = 3;

/**
 * The open connections of one server, for engines that expose each connection.
 *
 * Go's rule for which connections a poll closes is implemented only here. The cost of a drain is linear in
 * the number of connections: a poll that the end of a connection causes looks only at connections that
 * have changed.
 */
export class ConnTable<C extends Conn> {
  readonly tally: Tally = { idle: 0, drained: 0, forced: 0 };
  readonly #open = new Map<C, "serving" | "idle" | "forced">();
  /** The connections that the next poll has to look at. */
  readonly #changed = new Set<C>();
  /** The connections that were hijacked when a poll last examined them. */
  readonly #hijacked = new Set<C>();
  /** The connections whose `state` has thrown. The first such error of each was reported. */
  readonly #faulty = new WeakSet<C>();
  /** The timers of the connections that have a limited time to end. */
  readonly #deadlines = new Map<C, ReturnType<typeof setTimeout>>();
  #draining = false;
  #onChange = (): void => {};
  /** Resolves at the end of the last connection. Undefined while nobody waits for it. */
  #empty: PromiseWithResolvers<void> | undefined;

  /** Starts to count the connections that end, and calls `onChange` at each end from now on. */
  startDrain(onChange: () => void): void {
    this.#draining = true;
    this.#onChange = onChange;
    this.#markAll();
  }

  add(conn: C): void {
    this.#open.set(conn, "serving");
    if (this.#draining) this.#changed.add(conn);
  }

  /**
   * Records that a request has begun on a connection. If the connection was told to close as idle, it only
   * seemed idle.
   */
  begun(conn: C): void {
    if (this.#open.get(conn) === "idle") this.#open.set(conn, "serving");
  }

  /** Records that a connection may have become idle. Does nothing unless the server is draining. */
  changed(conn: C): void {
    if (!this.#draining || !this.#open.has(conn)) return;
    this.#changed.add(conn);
    this.#onChange();
  }

  /** Removes a connection. To be called when the connection is fully closed. */
  delete(conn: C): void {
    const end = this.#open.get(conn);
    if (end === undefined) return;
    this.#open.delete(conn);
    if (!this.#draining) return;
    clearTimeout(this.#deadlines.get(conn));
    this.#deadlines.delete(conn);
    this.#changed.delete(conn);
    this.#hijacked.delete(conn);
    this.tally[end === "serving" ? "drained" : end]++;
    if (this.#open.size === 0) {
      this.#empty?.resolve();
      this.#empty = undefined;
    }
    this.#onChange();
  }

  /** Closes the connections that are idle at `now`. Returns whether no connection is left to wait for. */
  closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!policy.onlyChanged) this.#markAll();
    // After a change a connection can only be idle, and idle connections are spared.
    if (!(policy.onlyChanged && policy.spareIdle)) this.#lookAtChanged(now, policy);
    return this.#open.size === (policy.ignoreHijacked ? this.#hijacked.size : 0);
  }

  /** The connections that were hijacked when a poll last examined them. */
  get hijacked(): Iterable<C> {
    return this.#hijacked;
  }

  /** Destroys a connection after `ms` milliseconds, unless the connection has closed by then. */
  destroyIn(ms: number, conn: C): void {
    const timer = setTimeout(() => {
      this.#open.set(conn, "forced");
      this.#destroy(conn);
    }, ms);
    timer.unref();
    this.#deadlines.set(conn, timer);
  }

  /** Makes the next poll look at every connection. */
  #markAll(): void {
    for (const conn of this.#open.keys()) this.#changed.add(conn);
  }

  /** Looks at the connections that have changed, for as long as a poll may take. */
  #lookAtChanged(now: number, { spareIdle, atOnce }: PollPolicy): void {
    const end = atOnce ? Infinity : performance.now() + SLICE;
    for (const conn of this.#changed) {
      if (performance.now() > end) return this.#onChange();
      const state = this.#stateOf(conn);
      // The connection stays marked: another shutdown may spare nothing, and examines the connection at
      // its next poll.
      if (state === "idle" && spareIdle) continue;
      this.#changed.delete(conn);
      this.#look(conn, state, now);
      // The last poll does not wait until the runtime announces the end of a connection. Go never waits
      // for that.
      if (atOnce && this.#stateOf(conn) === "closed") this.delete(conn);
    }
  }

  #look(conn: C, state: ConnState, now: number): void {
    const end = this.#open.get(conn);
    if (state === "hijacked") this.#hijacked.add(conn);
    if (end === "forced") return;
    // The connection only seemed idle: part of its next request had arrived.
    if (end === "idle" && state === "active") this.#open.set(conn, "serving");
    const isExpired = state === "new" && now - conn.acceptedAt >= NEW_CONN_LIFETIME;
    if (state !== "idle" && !isExpired) return;
    this.#open.set(conn, "idle");
    if (!attempt(() => conn.closeIdle(now))) this.#destroy(conn);
  }

  /** Ends all connections, and resolves when they are gone. */
  async destroyAll(): Promise<void> {
    for (const conn of [...this.#open.keys()]) {
      this.#open.set(conn, "forced");
      this.#destroy(conn);
    }
    if (this.#open.size === 0) return;
    this.#empty ??= Promise.withResolvers();
    await this.#empty.promise;
  }

  /** Destroys a connection. Removes a connection whose `destroy` throws, so that nothing waits for it. */
  #destroy(conn: C): void {
    if (!attempt(() => conn.destroy())) this.delete(conn);
  }

  /** Returns the state of a connection, or "active" if `state` throws: a request may be in flight. */
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
