import { type Addr, keyOf } from "../../core/addr.ts";
import { attempt } from "../../core/attempt.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import type { ServerWebSocket, WebSocketHandlers } from "../../options/websocket.ts";
import { WebSocketLife } from "../../server/web_socket_life.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";

/** What the WebSockets of a server need from the server. */
export interface WebSocketHost {
  /** Returns the open connections of the server, or an empty list if the kernel does not show them. */
  open(): readonly KernelConn[];
  /**
   * Returns whether a connection still exists. For the kernel a connection that has sent its FIN no longer
   * counts as open.
   */
  exists(conn: KernelConn): boolean;
  /** Cuts a connection off. */
  cut(conn: KernelConn): void;
}

/** A WebSocket between its upgrade and its last frame. */
interface Opened {
  readonly life: WebSocketLife;
  readonly peer: Addr;
  /** The time at which the WebSocket opened, on the clock of `performance.now()`. */
  readonly since: number;
}

/** A WebSocket whose close frame was sent, and whose connection waits for the client. */
interface Closing extends Opened {
  deadline: ReturnType<typeof setTimeout> | undefined;
}

/**
 * The WebSockets of a server of the engine `"bun"`. For Bun a WebSocket is gone as soon as its close frame is
 * queued. Its connection stays until the client has received everything and has ended its side, which only
 * the kernel shows.
 */
export class BunWebSockets {
  readonly #host: WebSocketHost;
  readonly #open = new Map<ServerWebSocket, Opened>();
  readonly #closing = new Map<KernelConn, Closing>();
  /**
   * Whether a WebSocket on a unix socket has closed during the drain. The connections there have no addresses
   * that tell them apart.
   */
  #hasUnknown = false;
  /** The connections at the start of the drain by their peers; undefined until then. */
  #conns: Map<string, KernelConn> | undefined;
  /** The client of the request that is being upgraded, and the life of its WebSocket. */
  #upgrading: { readonly peer: Addr; readonly life: WebSocketLife } | undefined;
  #handshake: ClosingHandshake | undefined;

  constructor(host: WebSocketHost) {
    this.#host = host;
  }

  /** Runs an upgrade of a request of the client `peer`, in which Bun opens the WebSocket. */
  upgrade(peer: Addr, life: WebSocketLife, upgrade: () => boolean): boolean {
    this.#upgrading = { peer, life };
    try {
      return upgrade();
    } finally {
      this.#upgrading = undefined;
    }
  }

  /** Returns the caller's handlers, extended to record which WebSockets are open. */
  handlers(own: WebSocketHandlers): WebSocketHandlers {
    return {
      ...own,
      open: (socket) => {
        const { peer = peerOf(socket), life = new WebSocketLife() } = this.#upgrading ?? {};
        this.#open.set(socket, { peer, life, since: performance.now() });
        const opened = own.open?.(socket);
        this.#close(socket);
        return opened;
      },
      close: (socket, code, reason) => {
        this.#closed(socket);
        return own.close?.(socket, code, reason);
      },
    };
  }

  startDrain(): void {
    this.#conns = new Map(this.#host.open().map((conn) => [keyOf(conn.remoteAddr), conn]));
  }

  /** Sends the close frame to each open WebSocket, and to each WebSocket that opens later. */
  close(handshake: ClosingHandshake): void {
    this.#handshake = handshake;
    // The WebSockets that the application has closed itself.
    for (const [conn, closing] of this.#closing) this.#limit(conn, closing);
    for (const socket of [...this.#open.keys()]) this.#close(socket);
  }

  #close(socket: ServerWebSocket): void {
    if (this.#handshake === undefined) return;
    const { code, reason } = this.#handshake;
    // This calls the handler `close` of the application, which may throw.
    attempt(() => socket.close(code, reason));
  }

  #closed(socket: ServerWebSocket): void {
    const opened = this.#open.get(socket);
    this.#open.delete(socket);
    opened?.life.end();
    if (this.#conns === undefined || opened === undefined) return;
    if (opened.peer.transport === "unix") this.#hasUnknown = true;
    const conn = this.#connOf(opened.peer);
    if (conn === undefined) return;
    const closing = { ...opened, deadline: undefined };
    this.#closing.set(conn, closing);
    if (this.#handshake !== undefined) this.#limit(conn, closing);
  }

  /** Returns the connection of a peer. A connection that was accepted during the drain is searched for again. */
  #connOf(peer: Addr): KernelConn | undefined {
    if (peer.transport === "unix") return undefined;
    const key = keyOf(peer);
    return this.#conns?.get(key) ??
      this.#host.open().find(({ remoteAddr }) => keyOf(remoteAddr) === key);
  }

  #limit(conn: KernelConn, closing: Closing): void {
    const within = this.#handshake?.within;
    if (within === undefined) return;
    closing.deadline = setTimeout(() => {
      if (this.#host.exists(conn)) this.#host.cut(conn);
    }, within);
    closing.deadline.unref();
  }

  /** Whether the connection of a WebSocket still waits for its client after the close frame. */
  get isClosing(): boolean {
    for (const [conn, { deadline }] of this.#closing) {
      if (this.#host.exists(conn)) return true;
      clearTimeout(deadline);
      this.#closing.delete(conn);
    }
    return this.#hasUnknown && this.#host.open().length > 0;
  }

  /** Cuts off all connections that wait for their clients. */
  cutAll(): void {
    for (const [conn, { deadline }] of this.#closing) {
      clearTimeout(deadline);
      if (this.#host.exists(conn)) this.#host.cut(conn);
    }
    this.#closing.clear();
    this.#hasUnknown = false;
  }

  snapshot(now: number): ConnInfo[] {
    const closing = [...this.#closing].filter(([conn]) => this.#host.exists(conn));
    return [...this.#open.values(), ...closing.map(([, opened]) => opened)].map((
      { peer, since },
    ) => ({ state: "hijacked", age: now - since, remoteAddr: peer }));
  }
}

/** Returns the address of the client of a WebSocket. Bun shows only the host, so the port is 0. */
function peerOf({ remoteAddress }: ServerWebSocket): Addr {
  return { transport: "tcp", hostname: remoteAddress, port: 0 };
}
