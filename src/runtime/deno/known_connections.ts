import type { ConnTable } from "../../server/conn_table.ts";
import type { AcceptedSocket, AcceptedSockets } from "../linux/accepted_sockets.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import { type Client, Clients } from "./clients.ts";
import { KernelConnection, type KernelConnectionEvents } from "./kernel_connection.ts";
import type { KernelExchange } from "./kernel_exchange.ts";

/** The number of recorded clients at which clients without a connection are first forgotten. */
const PRUNE_AT = 1_024;

/** The objects and functions that {@linkcode KnownConnections} uses. */
interface Sources {
  readonly conns: ConnTable<KernelConnection>;
  readonly kernel: KernelSockets;
  readonly accepted: AcceptedSockets;
  readonly events: KernelConnectionEvents;
  /** Called when a connection is no longer known. */
  readonly onForgotten: (conn: KernelConnection) => void;
}

/**
 * The known connections of one server of Deno. The kernel shows the connections, Deno shows the requests in flight,
 * and the address of the client shows which belong together. Outside a lame-duck phase and a drain, connections are
 * known only during a lookup.
 */
export class KnownConnections {
  readonly clients: Clients<KernelConnection> = new Clients();
  /** The requests in flight, except for requests that were answered in the turn in which they arrived. */
  readonly flights: Set<KernelExchange> = new Set();
  /** The request whose handler is being called. */
  current: KernelExchange | undefined;
  readonly #sources: Sources;
  #isKept = false;
  /** The connections by the cookies of their sockets. */
  readonly #byCookie = new Map<bigint, KernelConnection>();
  #pruneAt = PRUNE_AT;

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  /** Whether the connections stay known, because a lame-duck phase or a drain has started. */
  get isKept(): boolean {
    return this.#isKept;
  }

  /** Finds the connections, and keeps them known from now on. */
  keep(): void {
    this.#isKept = true;
    this.refresh();
  }

  /** Returns the known connection of a socket. */
  ofSocket({ cookie }: AcceptedSocket): KernelConnection | undefined {
    return this.#byCookie.get(cookie);
  }

  /** Finds new connections, forgets connections that are gone, and finds the connection of each request. */
  refresh(): void {
    const sockets = this.#sources.accepted.all();
    const open = new Set(sockets.map(({ cookie }) => cookie));
    for (const conn of [...this.#sources.conns]) if (!open.has(conn.cookie)) this.#remove(conn);
    this.know(sockets);
    this.clients.forgetGone();
  }

  /** Finds the connections of new sockets, and the connection of each request. */
  know(sockets: Iterable<AcceptedSocket>): void {
    for (const socket of sockets) if (!this.#byCookie.has(socket.cookie)) this.#add(socket);
    for (const exchange of this.flights) this.#linkKnown(exchange);
    if (this.current !== undefined) this.#linkKnown(this.current);
  }

  #add(socket: AcceptedSocket): void {
    const { accepted, kernel, events, conns } = this.#sources;
    const remoteAddr = accepted.clientOf(socket);
    // A connection that was reset no longer has an address, and needs no further handling.
    if (remoteAddr === undefined) return;
    const client = this.clients.of(remoteAddr);
    const conn = new KernelConnection(socket, remoteAddr, client, kernel, events);
    client.conns.push(conn);
    this.#byCookie.set(socket.cookie, conn);
    conns.add(conn);
  }

  #linkKnown(exchange: KernelExchange): void {
    if (exchange.client === undefined) this.link(exchange, this.clients.of(exchange.remoteAddr));
  }

  /** Records that a request belongs to a client. */
  link(exchange: KernelExchange, client: Client<KernelConnection>): void {
    exchange.client = client;
    client.exchanges.add(exchange);
    this.flights.add(exchange);
    const { onlyConn } = client;
    if (onlyConn !== undefined && exchange.protocol === "http1") onlyConn.isHttp1 = true;
  }

  /** Records that a request is over, or has become a WebSocket. */
  unlink(exchange: KernelExchange): void {
    this.flights.delete(exchange);
    exchange.client?.exchanges.delete(exchange);
  }

  /** Forgets the connections, unless a lame-duck phase or a drain has started. */
  forget(): void {
    if (this.#isKept) return;
    for (const conn of [...this.#sources.conns]) this.#unknow(conn);
    for (const exchange of this.flights) exchange.client = undefined;
    this.clients.forgetConns();
    if (this.current !== undefined) {
      this.current.client = undefined;
      this.flights.delete(this.current);
    }
  }

  /** Forgets, now and then, the records of clients whose connections have closed. */
  prune(): void {
    if (this.#isKept || this.clients.size < this.#pruneAt) return;
    this.refresh();
    this.forget();
    this.#pruneAt = Math.max(PRUNE_AT, 2 * this.clients.size);
  }

  /** Removes the connections that are gone. */
  removeGone(): void {
    for (const conn of [...this.#sources.conns]) this.removeIfGone(conn);
  }

  /** Removes a connection if it is gone. Returns whether it was gone. */
  removeIfGone(conn: KernelConnection): boolean {
    if (!conn.isGone) return false;
    this.#remove(conn);
    return true;
  }

  #remove(conn: KernelConnection): void {
    conn.stopLingering();
    this.#unknow(conn);
  }

  #unknow(conn: KernelConnection): void {
    this.#sources.onForgotten(conn);
    this.#byCookie.delete(conn.cookie);
    const { conns } = conn.client;
    const index = conns.indexOf(conn);
    if (index >= 0) conns.splice(index, 1);
    this.#sources.conns.delete(conn);
  }
}
