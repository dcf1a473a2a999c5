/** Existing servers of `Bun.serve`. */
import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import { BunServeDriver } from "./serve_driver.ts";
import type { BunServer } from "../api/bun.ts";
import { ServerSockets } from "../linux/server_sockets.ts";

/** A server of `Bun.serve`, which is what `Bun.Server` describes. */
export interface BunNativeServer {
  /** The port of the listener; undefined on a unix socket. */
  readonly port?: number | undefined;
  /** The URL of the server. */
  readonly url: URL;
  /** The number of requests that have no response yet. */
  readonly pendingRequests: number;
  /** The number of WebSockets that are open. */
  readonly pendingWebSockets: number;
  /**
   * Stops accepting, and resolves when the last connection is closed. With true it closes the connections.
   */
  stop(closeActiveConnections?: boolean): Promise<void>;
}

/** Whether a value looks like a {@linkcode BunNativeServer}. */
export function isBunServer(value: unknown): value is BunNativeServer {
  return typeof value === "object" && value !== null && "stop" in value && "reload" in value &&
    "pendingRequests" in value && "pendingWebSockets" in value;
}

/**
 * Calls a function when a server has stopped that its owner has told to stop. Bun tells nobody else, and a
 * process that nothing keeps alive would end at once, so the owner's call is listened to. That of a
 * `using` declaration is out of reach.
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
 * The driver of an adopted `Bun.serve`, which shows the number of its requests, and the kernel its
 * connections.
 */
export class AdoptedBunDriver extends BunServeDriver {
  readonly scheme: "http" | "https";
  readonly addr: Addr;
  protected readonly server: BunServer;
  protected readonly sockets: ServerSockets | undefined;
  protected readonly isHandedOn: boolean = false;

  constructor(native: BunNativeServer) {
    super();
    // The cast: every server of Bun has what is used of one.
    const server = native as BunServer & BunNativeServer;
    this.server = server;
    this.scheme = native.url.protocol === "https:" ? "https" : "http";
    this.addr = addrOf(this.server);
    this.sockets = ServerSockets.at(this.kernel, this.addr);
    // What Linux would keep back until it sends something, and Bun would lose.
    this.sockets?.disableDeferAccept();
  }

  /** Lists the connections. Which of them have a request in flight is not known. */
  connections(): ConnInfo[] {
    const { pendingRequests, pendingWebSockets } = this.server;
    const busy = pendingRequests > 0 ? "active" : pendingWebSockets > 0 ? "hijacked" : "idle";
    return this.open().map(({ silent, silentFor, remoteAddr }) => ({
      state: silent ? "new" : busy,
      age: silentFor,
      remoteAddr,
    }));
  }
}

function addrOf({ address }: BunServer): Addr {
  return typeof address === "string"
    ? { transport: "unix", path: address }
    : { transport: "tcp", hostname: address.address, port: address.port };
}
