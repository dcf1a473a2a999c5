import { type Addr, keyOf } from "../../core/addr.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";

/** The number of marks at which {@linkcode ConnMarks} first removes the marks of closed connections. */
const SWEEP_AT = 1_024;

/**
 * Marks on connections, by the addresses of their clients. Nothing reports the end of a connection, so the
 * marks of closed connections are removed now and then.
 */
export class ConnMarks {
  #keys = new Set<string>();
  #sweepAt = SWEEP_AT;

  get isEmpty(): boolean {
    return this.#keys.size === 0;
  }

  /** Marks the connection of a client. `open` lists the open connections. */
  add(client: Addr, open: () => readonly KernelConn[]): void {
    // The connections on a unix socket have no addresses that tell them apart.
    if (client.transport === "unix") return;
    this.#keys.add(keyOf(client));
    if (this.#keys.size >= this.#sweepAt) this.#sweep(open());
  }

  has({ remoteAddr }: KernelConn): boolean {
    return this.#keys.has(keyOf(remoteAddr));
  }

  #sweep(open: readonly KernelConn[]): void {
    this.#keys = this.#keys.intersection(
      new Set(open.map(({ remoteAddr }) => keyOf(remoteAddr))),
    );
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#keys.size);
  }
}
