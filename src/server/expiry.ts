import { setImmediate } from "node:timers";
import { attempt } from "../core/attempt.ts";
import type { LimitSettings } from "../options/limits.ts";
import type { Conn } from "./conn_table.ts";

/** A connection whose times are limited. */
export interface LimitedConn extends Conn {
  /** The number of requests whose head has arrived. */
  readonly requests: number;
  /** Whether a part of the head of a request has arrived, as far as the runtime shows. */
  readonly isMidHead: boolean;
  /**
   * Returns whether, within the last `ms` milliseconds, a part of an upload has arrived whose request was already
   * answered. Absent if a connection with such an upload does not count as idle.
   */
  isReceiving?(ms: number): boolean;
}

/** What a connection waits for, and since when. */
interface Wait {
  readonly for: "idleTimeout" | "headerTimeout";
  readonly since: number;
  readonly requests: number;
}

/** The number of times that every connection is checked within the shorter of the two limits. */
const LOOKS = 8;

/** The least number of ms between two checks. */
const LEAST_INTERVAL = 10;

/** The number of ms for which connections may be checked in one turn of the event loop. */
const SLICE = 3;

/** Returns the number of ms between two checks of the connections, or undefined if no time is limited. */
export function lookInterval(
  { idleTimeout, headerTimeout }: Pick<LimitSettings, Wait["for"]>,
): number | undefined {
  const shorter = Math.min(idleTimeout, headerTimeout);
  return shorter === Infinity ? undefined : Math.max(shorter / LOOKS, LEAST_INTERVAL);
}

/**
 * Reports whether a check comes so late that this process must have been blocked by its own code, or stopped.
 * Requests may then have arrived that have not been read yet, so the decision is left to the next check.
 */
export function isLate(lastLook: number, interval: number): boolean {
  return performance.now() - lastLook > 2 * interval;
}

/**
 * Closes connections that are idle, or whose head does not arrive, for longer than the limits allow. It checks all
 * connections now and then, so that requests cost nothing.
 */
export class Expiry {
  readonly #conns: Iterable<LimitedConn>;
  readonly #limits: Pick<LimitSettings, Wait["for"]>;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  /** What each connection was waiting for at the last check. */
  #waits = new Map<LimitedConn, Wait>();
  #isLooking = false;
  #lastLook = performance.now();
  readonly #interval: number = Infinity;

  constructor(conns: Iterable<LimitedConn>, limits: Pick<LimitSettings, Wait["for"]>) {
    this.#conns = conns;
    this.#limits = limits;
    const interval = lookInterval(limits);
    if (interval === undefined) return;
    this.#interval = interval;
    this.#timer = setInterval(() => this.#start(), interval);
    this.#timer.unref();
  }

  /** Stops the checks. To be called when no connection is left. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #start(): void {
    const late = isLate(this.#lastLook, this.#interval);
    this.#lastLook = performance.now();
    if (late || this.#isLooking) return;
    this.#isLooking = true;
    // The event loop reads the data that has arrived before it runs the immediate. The immediate is not unref'd: Bun
    // 1.4.5 may never run it then.
    setImmediate(() => this.#look(this.#conns[Symbol.iterator](), new Map()));
  }

  /** Checks the connections in `left`. If there are many, continues in the next turn of the event loop. */
  #look(left: Iterator<LimitedConn>, waits: Map<LimitedConn, Wait>): void {
    const end = performance.now() + SLICE;
    for (;;) {
      const { done, value: conn } = left.next();
      if (done) break;
      attempt(() => this.#check(conn, performance.now(), waits));
      if (performance.now() > end) return void setImmediate(() => this.#look(left, waits));
    }
    this.#waits = waits;
    this.#isLooking = false;
  }

  #check(conn: LimitedConn, now: number, waits: Map<LimitedConn, Wait>): void {
    const wait = this.#waitOf(conn, now);
    if (wait === undefined) return;
    if (now - wait.since < this.#limits[wait.for]) waits.set(conn, wait);
    else if (conn.state() === "idle") this.#endIdle(conn, now, waits);
    else conn.destroy();
  }

  #endIdle(conn: LimitedConn, now: number, waits: Map<LimitedConn, Wait>): void {
    const { idleTimeout } = this.#limits;
    if (conn.isReceiving?.(idleTimeout) !== true) return conn.closeIdle(now);
    waits.set(conn, { for: "idleTimeout", since: now, requests: conn.requests });
  }

  #waitOf(conn: LimitedConn, now: number): Wait | undefined {
    const { requests } = conn;
    const state = conn.state();
    // An HTTP/2 session without a request is idle, even before its first request.
    const isHead = state === "new" || (state === "idle" && requests === 0) ||
      (state === "active" && conn.isMidHead);
    if (!isHead && state !== "idle") return undefined;
    const before = this.#waits.get(conn);
    const wait = isHead ? "headerTimeout" : "idleTimeout";
    if (before?.for === wait && before.requests === requests) return before;
    const since = isHead && requests === 0 ? conn.acceptedAt : now;
    return { for: wait, since, requests };
  }
}
