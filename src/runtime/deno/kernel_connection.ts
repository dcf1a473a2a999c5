import type { Addr } from "../../core/addr.ts";
import type { ConnState, RequestInFlight } from "../../core/conn.ts";
import { type Conn, NEW_CONN_LIFETIME } from "../../server/conn_table.ts";
import { GOING_AWAY } from "../../server/driver.ts";
import { LINGER } from "../../server/linger.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";

/**
 * The number of ms after which Deno has read what has arrived. The clock of the kernel cannot tell whether
 * something arrived before or after a response that was sent in the same ms.
 */
const READ_WITHIN = 2;

/** A request in flight on a {@linkcode KernelConnection}. */
export interface KernelFlight {
  /** The length of the body that the request claims; undefined for a request without a body. */
  readonly claimed: number | undefined;
  inFlight(): RequestInFlight;
}

/** The events of a {@linkcode KernelConnection}. */
export interface KernelConnectionEvents {
  /** Called when the connection was told to end, which Deno does within a few turns of its event loop. */
  onEnding(conn: KernelConnection): void;
  /** Called to end a session of HTTP/2, which Deno can only do together with all other connections. */
  endHttp2(): void;
}

/** A connection of a server of Deno that does not show its connections: the kernel shows them. */
export class KernelConnection implements Conn {
  readonly acceptedAt: number;
  readonly remoteAddr: Addr;
  /** The requests in flight. */
  readonly flights: Set<KernelFlight> = new Set();
  /** Whether the last response has been passed to Deno. */
  isClosing = false;
  /** Whether an upload was left unread. */
  isUnread = false;
  isHttp2 = false;
  webSocket: WebSocket | undefined;
  /** Whether `destroy` was called. After that, the connection does not wait for its handlers. */
  isForced = false;
  readonly #fd: number;
  readonly #cookie: bigint;
  readonly #kernel: KernelSockets;
  readonly #events: KernelConnectionEvents;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  constructor(
    { fd, cookie, remoteAddr }: KernelConn,
    kernel: KernelSockets,
    events: KernelConnectionEvents,
  ) {
    this.#fd = fd;
    this.#cookie = cookie;
    this.#kernel = kernel;
    this.#events = events;
    this.remoteAddr = remoteAddr;
    const traffic = kernel.trafficOf(fd);
    this.acceptedAt = performance.now() -
      (traffic === undefined ? 0 : Math.max(traffic.sentAgo, traffic.receivedAgo));
  }

  /** Whether the socket is closed. Its descriptor may belong to another socket by now. */
  get isClosed(): boolean {
    return this.#kernel.cookieOf(this.#fd) !== this.#cookie;
  }

  /** Whether nothing is left to wait for. */
  get isGone(): boolean {
    if (this.isForced) {
      return this.isClosed || this.#kernel.trafficOf(this.#fd)?.isEstablished !== true;
    }
    return this.flights.size === 0 && this.isClosed;
  }

  state(): ConnState {
    if (this.webSocket !== undefined) return "hijacked";
    if (this.flights.size > 0 || this.isClosing) return "active";
    const traffic = this.#kernel.trafficOf(this.#fd);
    if (traffic === undefined) return "idle";
    const { hasSent, sentAgo, receivedAgo } = traffic;
    if (!hasSent) return "new";
    if (this.isHttp2 || this.isUnread || receivedAgo >= NEW_CONN_LIFETIME) return "idle";
    // Part of the next request has arrived.
    return receivedAgo < Math.max(sentAgo, READ_WITHIN) ? "active" : "idle";
  }

  request(): RequestInFlight | undefined {
    const [oldest] = this.flights;
    return oldest?.inFlight();
  }

  startDrain(): void {}

  startEnding(): void {
    if (this.webSocket?.readyState === WebSocket.OPEN) this.webSocket.close(GOING_AWAY);
  }

  closeIdle(): void {
    if (this.isUnread) this.linger();
    else if (this.isHttp2) this.#events.endHttp2();
    else if (this.state() === "new") this.#shutdown();
    else this.end();
  }

  /** Makes Deno close the connection behind what it has to send. */
  end(): void {
    if (this.isClosed) return;
    this.#kernel.endReading(this.#fd);
    this.#events.onEnding(this);
  }

  /** Ends the connection after {@linkcode LINGER} ms, in which the client may keep sending an upload. */
  linger(): void {
    this.#lingering ??= setTimeout(() => this.#shutdown(), LINGER);
  }

  destroy(): void {
    this.isForced = true;
    this.#shutdown();
  }

  /** To be called when the connection is gone. */
  gone(): void {
    clearTimeout(this.#lingering);
  }

  #shutdown(): void {
    if (!this.isClosed) this.#kernel.shutdown(this.#fd);
    this.#events.onEnding(this);
  }
}
