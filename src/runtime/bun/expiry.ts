import { attempt } from "../../core/attempt.ts";
import { keyOf } from "../../core/addr.ts";
import type { LimitSettings } from "../../options/limits.ts";
import { isLate, lookInterval } from "../../server/expiry.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import type { ServerSockets } from "../linux/server_sockets.ts";

type TimeLimits = Pick<LimitSettings, "idleTimeout" | "headerTimeout">;

/** What a connection is waiting for, and since when. */
interface Wait {
  readonly for: keyof TimeLimits;
  readonly since: number;
  /** The time at which the last bytes were sent on the connection; 0 if none were. */
  readonly lastSent: number;
}

/** The number of ms by which two readings of the same time can differ, because the kernel counts in steps of 4 ms. */
const TICKS = 10;

/**
 * Closes connections that are idle, or whose head does not arrive, for longer than the limits allow. The kernel
 * reports when bytes were sent and received, and the driver reports which connections have a request in flight. Bun's
 * own `idleTimeout` is not used, because it would cut off slow handlers as well.
 */
export class BunExpiry {
  readonly #sockets: ServerSockets;
  readonly #limits: TimeLimits;
  readonly #busy: () => Set<string>;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  /** The connections of WebSockets, by the key of their client's address. */
  #hijacked = new Set<string>();
  /** What each connection was waiting for at the last check, by its cookie. */
  #waits = new Map<bigint, Wait>();
  #lastLook = performance.now();
  readonly #interval: number = Infinity;
  readonly #receivesUpload: (conn: KernelConn) => boolean;

  /**
   * `busy` returns the keys of the addresses of clients that have a request in flight. `receivesUpload` reports
   * whether the rest of an upload whose request was already answered may still arrive on a connection.
   */
  constructor(
    sockets: ServerSockets,
    limits: TimeLimits,
    busy: () => Set<string>,
    receivesUpload: (conn: KernelConn) => boolean,
  ) {
    this.#sockets = sockets;
    this.#limits = limits;
    this.#busy = busy;
    this.#receivesUpload = receivesUpload;
    const interval = lookInterval(limits);
    if (interval === undefined) return;
    this.#interval = interval;
    this.#timer = setInterval(() => attempt(() => this.#look()), interval);
    this.#timer.unref();
  }

  /** Records that the connection of a client is a WebSocket from now on. */
  hijacked(client: string): void {
    if (this.#timer !== undefined) this.#hijacked.add(client);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const late = isLate(this.#lastLook, this.#interval);
    this.#lastLook = now;
    if (late) return;
    const busy = this.#busy();
    const hijacked = new Set<string>();
    const waits = new Map<bigint, Wait>();
    for (const conn of this.#sockets.connections()) {
      const client = keyOf(conn.remoteAddr);
      if (this.#hijacked.has(client)) hijacked.add(client);
      else if (!busy.has(client) && !conn.isSending && !this.#isUploading(conn)) {
        this.#check(conn, now, waits);
      }
    }
    this.#hijacked = hijacked;
    this.#waits = waits;
  }

  /** Returns whether a part of such an upload has arrived within the last `idleTimeout` ms. */
  #isUploading(conn: KernelConn): boolean {
    return conn.silentFor < this.#limits.idleTimeout && this.#receivesUpload(conn);
  }

  #check(conn: KernelConn, now: number, waits: Map<bigint, Wait>): void {
    const wait = this.#waitOf(conn, now);
    if (now - wait.since < this.#limits[wait.for]) waits.set(conn.cookie, wait);
    else this.#sockets.shutdown(conn);
  }

  #waitOf({ cookie, silent, silentFor, sentFor }: KernelConn, now: number): Wait {
    const lastSent = sentFor === undefined ? 0 : now - sentFor;
    if (silent) return { for: "headerTimeout", since: now - silentFor, lastSent };
    if (sentFor !== undefined && sentFor <= silentFor) {
      return { for: "idleTimeout", since: lastSent, lastSent };
    }
    // Bytes have arrived since the last response, but not a complete head, because no request is in
    // flight.
    const before = this.#waits.get(cookie);
    const isSame = before?.for === "headerTimeout" && Math.abs(before.lastSent - lastSent) < TICKS;
    return { for: "headerTimeout", since: isSame ? before.since : now, lastSent };
  }
}
