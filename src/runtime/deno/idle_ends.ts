import type { Client } from "./clients.ts";
import type { KernelConnection } from "./kernel_connection.ts";
import type { KnownConnections } from "./known_connections.ts";
import type { Looks } from "./looks.ts";

/**
 * The ends of connections whose last response was sent while it was unknown which connection that was. The polls of a
 * drain cannot end these connections, because the polls may spare idle connections.
 */
export class IdleEnds {
  readonly #known: KnownConnections;
  readonly #looks: Looks<KernelConnection>;
  /** The clients whose connections are to end. */
  readonly #clients = new Set<Client<KernelConnection>>();
  #isLooking = false;

  constructor(known: KnownConnections, looks: Looks<KernelConnection>) {
    this.#known = known;
    this.#looks = looks;
  }

  /**
   * Ends the connections of a client when they become idle. Connections are looked up for all such clients together,
   * and not too often, because the time of a lookup grows with the number of connections.
   */
  add(client: Client<KernelConnection>): void {
    this.#clients.add(client);
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#looks.repeat(() => {
      this.#known.refresh();
      for (const client of this.#clients) this.#endIdle(client);
      this.#known.forget();
      this.#isLooking = this.#clients.size > 0;
      return this.#isLooking;
    });
  }

  #endIdle(client: Client<KernelConnection>): void {
    for (const conn of client.conns) if (conn.state() === "idle") conn.closeIdle();
    if (client.conns.every((conn) => conn.isEnding || client.isUnread)) {
      this.#clients.delete(client);
    }
  }
}
