import type { Addr } from "../../core/addr.ts";
import type { ConnState, RequestInFlight } from "../../core/conn.ts";
import { type Conn, NEW_CONN_LIFETIME } from "../../server/conn_table.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import { LINGER } from "../../server/linger.ts";
import type { AcceptedSocket } from "../linux/accepted_sockets.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import type { Traffic } from "../linux/traffic.ts";
import type { Client } from "./clients.ts";
import { internals } from "./internals.ts";
import { GOAWAY, mayBeFreshSession, type Protocol } from "./protocol.ts";

/**
 * The number of ms without a byte after which no message can be in transit on a connection. Used if the kernel's
 * clock is too coarse to show whether bytes were last sent or received.
 */
const SETTLING = 10;

/** The number of ms without a byte after which Deno has certainly finished writing every frame. */
const GOAWAY_SETTLING = 25;

/** The number of ms by which a time of the kernel may be off, because the kernel counts in steps of 1 to 10 ms. */
const TICK = 10;

/** A request in flight. */
export interface KernelFlight {
  readonly request: Request;
  /** The time at which the request was first seen to be in flight. */
  readonly since: number | undefined;
  /** Whether the response was passed to Deno. */
  readonly isAnswered: boolean;
}

/** The functions that a {@linkcode KernelConnection} calls. */
export interface KernelConnectionEvents {
  /** Called when the connection was told to end. Deno ends the connection within a few turns of its event loop. */
  onEnding(conn: KernelConnection): void;
  /** Ends all HTTP/2 sessions if there are no other connections. Returns whether they are ending. */
  endSessions(): boolean;
  /** Called when the connection has to be checked again after a number of ms. */
  lookAgain(conn: KernelConnection, after: number): void;
}

/**
 * A connection of a server of Deno that does not show its connections. Its requests in flight are the requests from the
 * address of its client, and the kernel reports what was sent and received. If anything about a connection is
 * uncertain, the connection counts as active.
 */
export class KernelConnection implements Conn {
  readonly remoteAddr: Addr;
  readonly client: Client<KernelConnection>;
  /** Whether an HTTP/1 request has arrived on the connection since the driver knows the connection. */
  isHttp1 = false;
  /** Whether the last response was passed to Deno. A request that arrives later is not processed. */
  isLastPassed = false;
  /** The time at which the last request was answered since the driver knows the connection. */
  answeredAt: number = -Infinity;
  #acceptedAt: number | undefined;
  readonly #socket: AcceptedSocket;
  readonly #kernel: KernelSockets;
  readonly #events: KernelConnectionEvents;
  /** Whether `destroy` was called. After that, the connection does not wait for its handlers. */
  #isForced = false;
  /** The state of the connection when {@linkcode KernelConnection.end} was called; undefined before. */
  #endedAs: "active" | "idle" | undefined;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  constructor(
    socket: AcceptedSocket,
    remoteAddr: Addr,
    client: Client<KernelConnection>,
    kernel: KernelSockets,
    events: KernelConnectionEvents,
  ) {
    this.#socket = socket;
    this.client = client;
    this.#kernel = kernel;
    this.#events = events;
    this.remoteAddr = remoteAddr;
  }

  /** The time at which the connection was made, or of its last byte when the property was first read. */
  get acceptedAt(): number {
    if (this.#acceptedAt === undefined) {
      const { sentAgo = 0, receivedAgo = 0 } = this.#traffic ?? {};
      this.#acceptedAt = performance.now() - Math.max(sentAgo, receivedAgo);
    }
    return this.#acceptedAt;
  }

  get cookie(): bigint {
    return this.#socket.cookie;
  }

  /** Whether Deno has closed the socket. Its descriptor may belong to another socket by now. */
  get isClosed(): boolean {
    return this.#kernel.cookieOf(this.#socket.fd) !== this.#socket.cookie;
  }

  /** Whether nothing is left to wait for. */
  get isGone(): boolean {
    if (this.isClosed) return true;
    // Deno does not close the socket of a client that has left before its WebSocket has opened.
    const { webSockets } = this.client;
    const isUpgrading = [...webSockets].some(({ readyState }) =>
      readyState === WebSocket.CONNECTING
    );
    return (this.#isForced || isUpgrading) && this.#traffic?.isEstablished !== true;
  }

  /** Whether Deno was told to end the connection. */
  get isEnding(): boolean {
    return this.#endedAs !== undefined;
  }

  get #traffic(): Traffic | undefined {
    return this.#kernel.trafficOf(this.#socket.fd);
  }

  get #protocol(): Protocol {
    const { protocol, isMixed, onlyConn } = this.client;
    return isMixed && onlyConn !== this ? "unknown" : protocol;
  }

  /**
   * Returns whether a request of the client can belong to this connection, which is the client's only connection. It
   * cannot if the client has opened the connection after sending the request on another one.
   */
  canHave({ request, since, isAnswered }: KernelFlight): boolean {
    const now = performance.now();
    const traffic = this.#traffic;
    if (traffic === undefined) return false;
    if (isAnswered || since === undefined) return true;
    if (traffic.received < internals.leastHeadSize(request)) return false;
    // Nothing is sent between the head of a request and its response. If nothing was sent at all, `sentAgo` is the age
    // of the connection.
    return now - traffic.sentAgo - TICK <= since;
  }

  state(): ConnState {
    const { client } = this;
    if (client.exchanges.size > 0) return "active";
    if (client.webSockets.size > 0) return "hijacked";
    if (this.isClosed) return "closed";
    if (this.#endedAs !== undefined) return this.#endedAs;
    const traffic = this.#traffic;
    // The client has ended its side, and Deno has not noticed that yet.
    if (traffic?.isEstablished !== true) return "active";
    const hasUnread = this.#kernel.hasUnread(this.#socket.fd);
    if (this.#isFresh(traffic)) return hasUnread ? "active" : "new";
    return this.#stateBetweenRequests(traffic, hasUnread);
  }

  #stateBetweenRequests({ sentAgo, receivedAgo }: Traffic, hasUnread: boolean): ConnState {
    const protocol = this.#protocol;
    // Deno discards the rest of an upload that was left unread, so these bytes are not part of a
    // request.
    if (protocol === "http1" && this.client.isUnread) return "idle";
    if (hasUnread) return "active";
    if (protocol === "http2" || receivedAgo >= NEW_CONN_LIFETIME) return "idle";
    if (protocol === "unknown") return "active";
    const isAnswered = performance.now() - this.answeredAt < SETTLING;
    // Part of the next request has arrived.
    return receivedAgo < sentAgo && !isAnswered ? "active" : "idle";
  }

  request(): RequestInFlight | undefined {
    const [oldest] = this.client.exchanges;
    return oldest?.inFlight();
  }

  startDrain(): void {}

  closeWebSocket({ code, reason }: ClosingHandshake): boolean {
    let isWebSocket = false;
    for (const socket of this.client.webSockets) {
      if (socket.readyState === WebSocket.CONNECTING) continue;
      internals.closeWebSocket(socket, code, reason);
      isWebSocket = true;
    }
    return isWebSocket;
  }

  closeIdle(): void {
    const traffic = this.#traffic;
    if (traffic === undefined || this.isEnding) return;
    if (this.#isFresh(traffic)) this.#shutdown();
    else if (this.#protocol === "http2") this.#goAway(traffic);
    else if (this.client.isUnread) this.linger();
    else this.#endSettled(traffic);
  }

  /**
   * Ends the connection because it has exceeded a time limit, unless a request has just arrived, or a part of an upload
   * that was left unread has arrived within the last `idleTimeout` ms.
   */
  expire(idleTimeout: number): void {
    const { exchanges, webSockets, isUnread } = this.client;
    const traffic = this.#traffic;
    if (exchanges.size > 0 || webSockets.size > 0 || traffic?.isEstablished !== true) return;
    const hasUnread = this.#kernel.hasUnread(this.#socket.fd);
    if (isUnread) return traffic.receivedAgo < idleTimeout ? undefined : this.#shutdown();
    if (hasUnread) return;
    else if (this.#isFresh(traffic)) this.#shutdown();
    else if (this.#protocol !== "http2" || this.client.goneAway.includes(this.cookie)) {
      this.end("idle");
    } else this.#goAway(traffic);
  }

  /** Returns whether no request has been answered on the connection, as far as the kernel shows. */
  #isFresh({ written }: Traffic): boolean {
    return written === 0 || (!this.isHttp1 && mayBeFreshSession(written));
  }

  /** Ends an HTTP/1 connection, unless part of the next request may have arrived just now. */
  #endSettled({ receivedAgo }: Traffic): void {
    const isAnswered = performance.now() - this.answeredAt < SETTLING;
    if (isAnswered || receivedAgo >= SETTLING) this.end("idle");
    else this.#events.lookAgain(this, SETTLING - receivedAgo);
  }

  /**
   * Makes Deno close an HTTP/1 connection whose requests are all answered. Deno first writes all remaining data,
   * because it does not check whether the client of an answered request is still there. `state` is the state of the
   * connection until it has closed.
   */
  end(state: "active" | "idle"): void {
    if (this.isEnding || this.isClosed) return;
    this.#endedAs = state;
    this.isLastPassed = true;
    this.#kernel.endReading(this.#socket.fd);
    this.#events.onEnding(this);
  }

  /**
   * Ends the connection after {@linkcode LINGER} ms, in which the client may keep sending an upload that was left
   * unread, so that the response reaches the client.
   */
  linger(): void {
    this.#lingering ??= setTimeout(() => {
      this.#lingering = undefined;
      const { exchanges, isUnread } = this.client;
      // A request that has arrived since then shows that the client has sent the whole upload.
      if (exchanges.size === 0 && isUnread) this.#shutdown();
    }, LINGER);
  }

  /** Stops lingering. To be called when a request of the client has arrived. */
  stopLingering(): void {
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
  }

  /** Whether the connection is an HTTP/2 session that has had a stream and has none now. */
  get isIdleSession(): boolean {
    if (this.#protocol !== "http2" || this.client.exchanges.size > 0) return false;
    const traffic = this.#traffic;
    return traffic !== undefined && !this.#isFresh(traffic);
  }

  /**
   * Ends an HTTP/2 session without a stream. Deno can only end all sessions together. Until that is possible, the
   * client is sent a GOAWAY, so that it opens no further stream. This frame must not be written within a frame of
   * Deno, so it is written only after no data has been waiting to be sent for a while.
   */
  #goAway({ isDelivered, sentAgo, receivedAgo }: Traffic): void {
    const { client } = this;
    if (this.#events.endSessions() || client.goneAway.includes(this.cookie)) return;
    const quiet = isDelivered ? Math.min(sentAgo, receivedAgo) : 0;
    if (quiet < GOAWAY_SETTLING) return this.#events.lookAgain(this, GOAWAY_SETTLING - quiet);
    client.goneAway.push(this.cookie);
    this.#kernel.sendBytes(this.#socket.fd, GOAWAY);
  }

  destroy(): void {
    this.#isForced = true;
    this.#shutdown();
  }

  #shutdown(): void {
    if (!this.isClosed) this.#kernel.shutdown(this.#socket.fd);
    this.#events.onEnding(this);
  }
}
