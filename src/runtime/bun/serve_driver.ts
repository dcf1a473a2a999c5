import { setImmediate } from "node:timers";
import type { Refable } from "../../server/native_server.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import { NEW_CONN_LIFETIME, type PollPolicy, type Tally } from "../../server/conn_table.ts";
import { takeInAcceptQueue, UNKNOWN_QUEUE } from "../host/accept_queue.ts";
import type { BunServer } from "../api/bun.ts";
import type { Driver } from "../../server/driver.ts";
import type { Engine } from "../../options/serve.ts";
import { FORCE_WAIT, within } from "../../core/within.ts";
import type { ClosingListener } from "../linux/closing_listener.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { type KernelSockets, openKernelSockets } from "../linux/kernel_sockets.ts";
import type { ServerSockets } from "../linux/server_sockets.ts";

/** The least number of ms between two checks of the connections by the driver. */
const WATCH_INTERVAL = 5;

/** The least pause between two checks of the connections, as a multiple of the time that a check takes. */
const WATCH_SHARE = 20;

/** The base class of the drivers of `Bun.serve`. They ask the kernel for everything that Bun does not show. */
export abstract class BunServeDriver implements Driver {
  readonly engine: Engine = "bun";
  abstract readonly scheme: "http" | "https";
  abstract readonly addr: Addr;
  protected readonly kernel: KernelSockets | undefined = openKernelSockets();
  /** The time at which the drain started, on the clock of the polls, or undefined until then. */
  protected drainStart: number | undefined;
  protected onChange = (): void => {};
  #closedIdle = 0;
  /** Whether Bun has been told to stop the server. */
  #isStopped = false;
  #stopped: Promise<unknown> | undefined;
  #openAtStart = 0;
  #forced = 0;
  #isGone = false;
  /** Whether the listener was closed while the connections stay open, because another server accepts on its socket. */
  #hasNoListener = false;
  /** The listener that closes without Bun noticing. Undefined before the drain, and if there is no known listener. */
  #listener: ClosingListener | undefined;
  #watching: ReturnType<typeof setTimeout> | undefined;
  /** The next time at which a connection has been silent for too long, on the clock of the polls. */
  #nextExpiry = 0;

  protected abstract readonly server: BunServer;
  /** The sockets of the server, or undefined if the kernel does not show them. */
  protected abstract readonly sockets: ServerSockets | undefined;

  get native(): unknown {
    return this.server;
  }

  get handles(): readonly Refable[] {
    return [this.server];
  }

  abstract connections(now: number): ConnInfo[];

  startDrain(onChange: () => void, isShared?: boolean): void {
    this.drainStart = performance.now();
    this.onChange = onChange;
    if (!this.#hasNoListener) {
      this.#listener = this.sockets?.closingListener(isShared ?? false);
    }
    this.#openAtStart = this.count();
  }

  get refusesNewConns(): boolean {
    return this.#listener?.refuses === true;
  }

  waitingToBeAccepted(): number | undefined {
    return this.sockets?.waiting;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.sockets?.emptyAcceptQueue(force) ??
      takeInAcceptQueue(UNKNOWN_QUEUE, force);
  }

  /** Resolves in a later turn of the event loop, because closing thousands of idle connections takes a turn. */
  async closeListeners(): Promise<void> {
    const stays = this.#listener?.stayForWithheld(() => {
      this.#listenerClosed(this.#closeListener());
      // A connection that was withheld can be silent.
      this.#nextExpiry = 0;
      this.onChange();
    }) ?? false;
    const isClosed = !stays && this.#closeListener();
    this.#openAtStart = Math.max(this.#openAtStart, this.count());
    if (!stays) this.#listenerClosed(isClosed);
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Closes the listener without Bun noticing. Returns whether that worked. */
  #closeListener(): boolean {
    return this.#hasNoListener || (this.#listener?.close() ?? false);
  }

  #listenerClosed(isClosed: boolean): void {
    // Bun's own stop closes the idle connections together with the listener.
    if (isClosed) this.#watch();
    else this.#stop();
  }

  /** Closes only the listener, and leaves the connections open. See `ReplaceableDriver`. */
  closeListenerAlone(): void {
    this.sockets?.closingListener(true)?.close();
    this.#hasNoListener = true;
  }

  /**
   * Polls for the end of the last connection. Bun does not report this end for WebSockets, nor while it
   * believes that it still listens. The polls take less than 5 % of the time.
   */
  #watch(): void {
    const start = performance.now();
    // After its stop, Bun reports the end of the last request itself.
    if (this.#isStopped ? !this.hasClosingWebSockets : this.isEmpty()) return this.onChange();
    const pause = Math.max(WATCH_INTERVAL, WATCH_SHARE * (performance.now() - start));
    this.#watching = setTimeout(() => this.#watch(), pause);
  }

  closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isListening = this.#isListening;
    if (!isListening && (!policy.spareIdle || this.isEmpty())) this.#stop();
    // After its stop, Bun itself closes connections that become idle, except for HTTP/2 sessions.
    if (!policy.spareIdle) this.#closeIdle();
    if (now >= this.#nextExpiry) this.#nextExpiry = this.#closeSilent(now);
    if (isListening) return false;
    if (policy.ignoreHijacked && this.#onlyWebSockets()) return true;
    return this.#isDrained();
  }

  async closeAll(): Promise<void> {
    clearTimeout(this.#watching);
    this.#forced += this.#isGone && !this.hasClosingWebSockets ? 0 : this.count();
    this.#isStopped = true;
    const told = this.#listener?.closeByForce();
    const stopped = Promise.all([this.server.stop(true), this.#stopped]);
    this.sockets?.connectionsClosed();
    this.sockets?.listenerClosed();
    // Bun would leave HTTP/2 sessions with a stream in flight open for seconds.
    for (const conn of this.open()) this.sockets?.shutdown(conn);
    await within(stopped, FORCE_WAIT);
    await told;
    this.#isGone = true;
  }

  /**
   * The numbers of connections that have ended, by how they ended. Bun does not count connections, so the
   * drained ones are computed: the connections at the start of the drain that are gone and were closed
   * neither as idle nor by force.
   */
  get tally(): Tally {
    const [idle, forced] = [this.#closedIdle, this.#forced];
    const left = this.#isGone ? 0 : this.count();
    return { idle, forced, drained: Math.max(0, this.#openAtStart - idle - forced - left) };
  }

  /** Whether the listener stays open for connections that the kernel withholds. */
  get #isListening(): boolean {
    return this.#listener?.stays === true;
  }

  /** Starts Bun's graceful stop, which closes idle connections at once and other connections after their response. */
  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#closeIdle();
    this.#stopped = this.server.stop().then(() => {
      this.#isGone = true;
      this.#watch();
    });
    clearTimeout(this.#watching);
    this.sockets?.listenerClosed();
  }

  #closeIdle(): void {
    const closed = this.server.closeIdleConnections();
    this.#closedIdle += closed;
    if (closed > 0) this.sockets?.connectionsClosed();
  }

  /** Returns the open connections, or an empty list if the kernel does not show them. */
  protected open(): KernelConn[] {
    return this.sockets?.connections() ?? [];
  }

  /** Returns the connections that the kernel withholds from Bun. */
  protected withheld(): ConnInfo[] {
    return this.#listener?.withheld ?? this.sockets?.withheld() ?? [];
  }

  /** Returns the number of open connections, or the number that Bun counts if the kernel does not show connections. */
  protected count(): number {
    return this.open().length + this.withheld().length ||
      this.server.pendingRequests + this.server.pendingWebSockets;
  }

  /** Returns whether no connection is open. False if the kernel does not show connections. */
  protected isEmpty(): boolean {
    return this.sockets !== undefined && this.isQuiet() && this.sockets.isEmpty;
  }

  /** Returns whether the drain is over. Bun may report that later than the kernel, or never. */
  #isDrained(): boolean {
    return (this.#isGone && !this.hasClosingWebSockets) || (this.#isStopped && this.isEmpty());
  }

  /**
   * Whether the connection of a WebSocket still waits for its client after the close frame. Bun counts such a
   * WebSocket as gone, although the client may not have received everything yet.
   */
  protected abstract get hasClosingWebSockets(): boolean;

  /** Returns whether a connection still exists, even if it is closing. */
  protected exists({ fd, cookie }: KernelConn): boolean {
    return this.kernel?.cookieOf(fd) === cookie;
  }

  /** Cuts a connection off. The connection counts as forced. */
  protected cut(conn: KernelConn): void {
    this.#forced++;
    this.sockets?.shutdown(conn);
    this.onChange();
  }

  /**
   * Closes the connections that have received nothing for too long. Returns the time at which the next
   * connection has been silent for that long.
   */
  #closeSilent(now: number): number {
    const { sockets } = this;
    if (sockets === undefined || this.addr.transport === "unix") return this.closeQuiet(now);
    let next = Infinity;
    for (const conn of this.open()) {
      // With TLS, the handshake has been received, and it is unknown what has arrived after it.
      if (!conn.silent && !(this.scheme === "https" && this.isQuiet())) continue;
      const expiry = performance.now() - conn.silentFor + NEW_CONN_LIFETIME;
      if (now < expiry) {
        next = Math.min(next, expiry);
        continue;
      }
      this.#closedIdle++;
      sockets.shutdown(conn);
    }
    return next;
  }

  /**
   * Closes all connections once the drain has lasted for {@linkcode NEW_CONN_LIFETIME} ms and no request is
   * in flight. Returns the time at which to try again. Used if it is unknown what a connection has received:
   * a connection that is left has then been silent, or has sent a part of a head, for at least that long.
   */
  protected closeQuiet(now: number): number {
    const expiry = (this.drainStart ?? now) + NEW_CONN_LIFETIME;
    if (now < expiry) return expiry;
    if (this.isQuiet() && !this.#isListening) {
      this.#closedIdle += this.open().length;
      this.server.stop(true);
      this.sockets?.connectionsClosed();
    }
    return now;
  }

  /** Returns whether no request is in flight and no WebSocket is open or closing. */
  protected isQuiet(): boolean {
    return this.server.pendingRequests + this.server.pendingWebSockets === 0 &&
      !this.hasClosingWebSockets;
  }

  #onlyWebSockets(): boolean {
    const { pendingRequests, pendingWebSockets } = this.server;
    return pendingRequests === 0 && (pendingWebSockets > 0 || this.hasClosingWebSockets);
  }
}
