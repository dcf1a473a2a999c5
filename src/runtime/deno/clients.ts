import { type Addr, keyOf } from "../../core/addr.ts";
import type { RequestInFlight } from "../../core/conn.ts";
import type { Protocol } from "./protocol.ts";

/** A request of a client. */
export interface ClientExchange {
  readonly protocol: Protocol;
  inFlight(): RequestInFlight;
}

/**
 * The record of one client address. Deno reports the client address of each request, and the kernel that of each
 * connection, so the address links the two. The link can be uncertain: a client may have closed a connection and opened
 * another one from the same address, and one client address may have connections to several addresses of this machine.
 */
export class Client<Conn> {
  /** The connections from the address, while the driver knows the connections. */
  readonly conns: Conn[] = [];
  /** The requests in flight, while the driver knows the open connections. */
  readonly exchanges: Set<ClientExchange> = new Set();
  /** The WebSockets that are not closed. */
  readonly webSockets: Set<WebSocket> = new Set();
  /** The protocol of the newest request that was recorded. */
  protocol: Protocol = "http1";
  /** Whether requests of several protocols were recorded. */
  isMixed = false;
  /** Whether the newest request was answered before all of its body had been received. */
  isUnread = false;
  /** The time at which the newest request was recorded, or was over. */
  lastAt = 0;
  /** The cookies of the sockets on which GOAWAY was sent. */
  readonly goneAway: bigint[] = [];

  /** The connection of every request, if it is certain. */
  get onlyConn(): Conn | undefined {
    return this.conns.length === 1 ? this.conns[0] : undefined;
  }

  /** Whether anything is known about the client that the kernel does not report. */
  get isRemarkable(): boolean {
    return this.protocol !== "http1" || this.isMixed || this.isUnread || this.webSockets.size > 0;
  }

  /** Records a request. */
  record({ protocol }: ClientExchange): void {
    if (this.protocol !== protocol && this.isRemarkable) this.isMixed = true;
    this.protocol = protocol;
    this.isUnread = false;
    this.lastAt = performance.now();
  }
}

/**
 * The clients of one server, by address. While the open connections are not known, only remarkable clients
 * are recorded.
 */
export class Clients<Conn> {
  readonly #byKey = new Map<string, Client<Conn>>();

  get size(): number {
    return this.#byKey.size;
  }

  /** Returns the client with an address, if the client is recorded. */
  at(addr: Addr): Client<Conn> | undefined {
    return this.#byKey.get(keyOf(addr));
  }

  /** Returns the client with an address, and records the client if it is new. */
  of(addr: Addr): Client<Conn> {
    const key = keyOf(addr);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const client = new Client<Conn>();
    this.#byKey.set(key, client);
    return client;
  }

  /** Forgets which connections and requests the clients have. */
  forgetConns(): void {
    for (const [key, client] of this.#byKey) {
      client.conns.length = 0;
      client.exchanges.clear();
      if (!client.isRemarkable) this.#byKey.delete(key);
    }
  }

  /** Forgets the clients without a connection, which must be known, and without a request in flight. */
  forgetGone(): void {
    for (const [key, { conns, exchanges, webSockets }] of this.#byKey) {
      if (conns.length + exchanges.size + webSockets.size === 0) this.#byKey.delete(key);
    }
  }
}
