import { type Addr, keyOf } from "../../core/addr.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";
import type { Traffic } from "../linux/traffic.ts";

/**
 * The connections of a server by the addresses of their clients. Deno keeps a WebSocket on which data waits
 * until the client has read the data, even if the resource is closed, and keeps a connection in its TLS
 * handshake until the client has finished the handshake. Only the kernel can cut such connections off, and
 * report what arrives on them. That needs the C library.
 */
export class ClientConns {
  readonly #listeners: () => readonly Addr[];
  /** The connections that the last search in this turn of the event loop has found open, by their clients. */
  #found: Map<string, KernelConn> | undefined;

  /** Creates the connections of a server. `listeners` returns the addresses of the server's listeners. */
  constructor(listeners: () => readonly Addr[]) {
    this.#listeners = listeners;
  }

  /** Cuts off the connection of a client. Does nothing on a unix socket, where clients have no addresses. */
  cut(client: Addr): void {
    const fd = this.#descriptorOf(client);
    if (fd !== undefined) openKernelSockets()?.shutdown(fd);
  }

  /** Returns the traffic on the connection of a client; undefined if the kernel does not show it. */
  trafficOf(client: Addr): Traffic | undefined {
    const fd = this.#descriptorOf(client);
    return fd === undefined ? undefined : openKernelSockets()?.trafficOf(fd);
  }

  #descriptorOf(client: Addr): number | undefined {
    const kernel = openKernelSockets();
    if (kernel === undefined || client.transport === "unix") return undefined;
    const conn = this.#conns().get(keyOf(client));
    return conn !== undefined && kernel.cookieOf(conn.fd) === conn.cookie ? conn.fd : undefined;
  }

  #conns(): Map<string, KernelConn> {
    if (this.#found === undefined) {
      const kernel = openKernelSockets();
      const conns = this.#listeners().flatMap((addr) => kernel?.connections(addr) ?? []);
      this.#found = new Map(conns.map((conn) => [keyOf(conn.remoteAddr), conn]));
      setTimeout(() => this.#found = undefined);
    }
    return this.#found;
  }
}
