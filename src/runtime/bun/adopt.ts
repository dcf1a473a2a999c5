/** The adoption of existing servers of `Bun.serve`. */
import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import { LINGER } from "../../server/linger.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import { BunServeDriver } from "./serve_driver.ts";
import { ConnMarks } from "./conn_marks.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import type { BunServer } from "../api/bun.ts";
import { ServerSockets } from "../linux/server_sockets.ts";

/** A number of bytes that is larger than any head of a request. */
const MORE_THAN_A_HEAD = 64n * 1024n;

/** A server that `Bun.serve` has returned: the part of `Bun.Server` that this package uses. */
export interface BunNativeServer {
  /** The port of the listener, or undefined on a unix socket. */
  readonly port?: number | undefined;
  /** The URL of the server. */
  readonly url: URL;
  /** The number of requests that have no response yet. */
  readonly pendingRequests: number;
  /** The number of WebSockets that are open. */
  readonly pendingWebSockets: number;
  /**
   * Stops accepting connections, and resolves when the last connection has closed. If
   * `closeActiveConnections` is true, closes all connections at once.
   */
  stop(closeActiveConnections?: boolean): Promise<void>;
}

/** Returns whether a value looks like a {@linkcode BunNativeServer}. */
export function isBunServer(value: unknown): value is BunNativeServer {
  return typeof value === "object" && value !== null && "stop" in value && "reload" in value &&
    "pendingRequests" in value && typeof value.pendingRequests === "number" &&
    "pendingWebSockets" in value;
}

/**
 * Calls `then` when a server has stopped after a call of its `stop()`. Bun reports the end of a server only
 * to the caller of `stop()`, so this function replaces the method. The process could end at once when the
 * server no longer keeps it alive, which leaves no time for polling. A `using` declaration stops the server
 * in a way that this function does not notice.
 */
export function whenStopped(native: BunNativeServer, then: () => void): void {
  const stop = native.stop.bind(native);
  native.stop = (...options) => {
    const stopped = stop(...options);
    stopped.then(then, then);
    return stopped;
  };
}

/**
 * The driver of an adopted server of `Bun.serve`. The server shows the number of its requests, and the
 * kernel shows the connections.
 */
export class AdoptedBunDriver extends BunServeDriver {
  readonly scheme: "http" | "https";
  readonly addr: Addr;
  protected readonly server: BunServer;
  protected readonly sockets: ServerSockets | undefined;
  /** The number of bytes that each connection had received when the drain started, by its cookie. */
  #received = new Map<bigint, bigint>();
  readonly #upgraded = new ConnMarks();
  /** The connections that were WebSockets when the drain started. */
  #webSockets: readonly KernelConn[] = [];
  /** The time since which the server was quiet at every poll, on the clock of the polls. */
  #quietSince = Infinity;

  constructor(native: BunNativeServer) {
    super();
    // The cast: every server of `Bun.serve` has the members of BunServer.
    const server = native as BunServer & BunNativeServer;
    this.server = server;
    this.scheme = native.url.protocol === "https:" ? "https" : "http";
    this.addr = addrOf(this.server);
    this.sockets = ServerSockets.at(this.kernel, this.addr);
    this.#watchUpgrades();
  }

  override startDrain(onChange: () => void, isShared?: boolean): void {
    super.startDrain(onChange, isShared);
    const conns = this.open();
    this.#received = new Map(conns.map(({ cookie, received }) => [cookie, received]));
    this.#webSockets = conns.filter((conn) => this.#upgraded.has(conn));
  }

  /** Marks the connections that become WebSockets from now on. Bun shows neither open nor closing WebSockets. */
  #watchUpgrades(): void {
    const { server } = this;
    const upgrade = server.upgrade.bind(server);
    server.upgrade = (request, ...options) => {
      const client = server.requestIP(request);
      const isUpgraded = upgrade(request, ...options);
      if (isUpgraded && client !== null) {
        const { address: hostname, port } = client;
        this.#upgraded.add({ transport: "tcp", hostname, port }, () => this.open());
      }
      return isUpgraded;
    };
  }

  protected override get hasClosingWebSockets(): boolean {
    return this.server.pendingWebSockets === 0 &&
      this.#webSockets.some((conn) => this.exists(conn));
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    this.#quietSince = this.isQuiet() ? Math.min(this.#quietSince, now) : Infinity;
    if (!policy.spareIdle) {
      if (now - this.#quietSince >= LINGER) this.#endUploads();
      // A connection that is left may have an unread upload whose request was answered and whose client
      // has stopped sending.
      this.closeQuiet(now);
    }
    return super.closeIdleConns(now, policy);
  }

  /**
   * Ends the connections that still receive an upload after its response, which Bun does not count as idle.
   * To be called when the server is quiet.
   */
  #endUploads(): void {
    for (const conn of this.open()) {
      const before = this.#received.get(conn.cookie) ?? 0n;
      if (conn.received - before > MORE_THAN_A_HEAD) this.sockets?.shutdown(conn);
    }
  }

  /**
   * Returns the open connections. It is unknown which connection has a request in flight, so all connections
   * that have received something get the same state.
   */
  connections(): ConnInfo[] {
    const { pendingRequests, pendingWebSockets } = this.server;
    const busy = pendingRequests > 0 ? "active" : pendingWebSockets > 0 ? "hijacked" : "idle";
    const open = this.open().map((conn): ConnInfo => ({
      state: this.#upgraded.has(conn) ? "hijacked" : conn.silent ? "new" : busy,
      age: conn.silentFor,
      remoteAddr: conn.remoteAddr,
    }));
    return [...open, ...this.withheld()];
  }
}

function addrOf({ address }: BunServer): Addr {
  return typeof address === "string"
    ? { transport: "unix", path: address }
    : { transport: "tcp", hostname: address.address, port: address.port };
}
