import { attempt } from "../../core/attempt.ts";
import { keyOf } from "../../core/addr.ts";
import type { LimitSettings } from "../../options/limits.ts";
import { isLate, lookInterval } from "../../server/expiry.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import type { ServerSockets } from "../linux/server_sockets.ts";

type TimeLimits = Pick<LimitSettings, "idleTimeout" | "headerTimeout">;

/** What a connection waits for, and since when. */
interface Wait {
  readonly for: keyof TimeLimits;
  readonly since: number;
  /** The time at which the last bytes were sent on the connection; 0 if none were. */
  readonly lastSent: number;
}

/** The number of ms by which two times of the kernel can differ that are the same: it counts in steps of 4 ms. */
const TICKS = 10;

/**
 * Closes connections that are idle, or whose head does not arrive, for longer than the limits allow. The kernel tells
 * when something was sent and received, and the driver which connections have a request in flight. The `idleTimeout`
 * of Bun would cut off slow handlers as well.
 */
export class BunExpiry {
  readonly #sockets: ServerSockets;
  readonly #limits: TimeLimits;
  readonly #busy: () => Set<string>;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  /** The connections of WebSockets, by the key of their client's address. */
  #hijacked = new Set<string>();
  /** What the connections were waiting for at the last look, by their cookies. */
  #waits = new Map<bigint, Wait>();
  #lastLook = performance.now();
  readonly #interval: number = Infinity;
  readonly #receivesUpload: (conn: KernelConn) => boolean;

  /**
   * `busy` returns the keys of the addresses of the clients with a request in flight. `receivesUpload` reports whether
   * a request on a connection was answered before its upload was read, the rest of which may still come.
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

  /** Whether the rest of an upload has come lately. */
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
    // Bytes have come since the last response, and they are no whole head: no request is in flight.
    const before = this.#waits.get(cookie);
    const isSame = before?.for === "headerTimeout" && Math.abs(before.lastSent - lastSent) < TICKS;
    return { for: "headerTimeout", since: isSame ? before.since : now, lastSent };
  }
}
