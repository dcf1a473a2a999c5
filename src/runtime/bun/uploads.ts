import type { BunInfo } from "./flights.ts";
import type { KernelConn } from "../linux/kernel_sockets.ts";
import { keyOf } from "../../core/addr.ts";

/** How many connections are remembered before those that are gone are forgotten. */
const SWEEP_AT = 1_024;

/**
 * The connections that have had an upload answered before it was read. Bun takes in what comes of it
 * later, and does not count the connection as idle until its next request is answered.
 */
export class UnreadUploads {
  #conns = new Set<string>();
  #sweepAt = SWEEP_AT;

  get isEmpty(): boolean {
    return this.#conns.size === 0;
  }

  /** To be called when a request is answered. `open` lists the connections. */
  answered(info: BunInfo, open: () => readonly KernelConn[]): void {
    const { method, bodyUsed } = info.request;
    if (method === "GET" || method === "HEAD" || bodyUsed) return;
    const { remoteAddr } = info;
    // Of a unix socket nothing tells one connection from another.
    if (remoteAddr.transport === "unix") return;
    this.#conns.add(keyOf(remoteAddr));
    if (this.#conns.size >= this.#sweepAt) this.#sweep(open());
  }

  has({ remoteAddr }: KernelConn): boolean {
    return this.#conns.has(keyOf(remoteAddr));
  }

  #sweep(open: readonly KernelConn[]): void {
    this.#conns = this.#conns.intersection(
      new Set(open.map(({ remoteAddr }) => keyOf(remoteAddr))),
    );
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#conns.size);
  }
}
