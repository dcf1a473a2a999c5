import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import { NEW_CONN_LIFETIME, type PollPolicy, type Tally } from "../../server/conn_table.ts";
import { takeInAcceptQueue, UNKNOWN_QUEUE } from "../host/accept_queue.ts";
import type { BunServer } from "../api/bun.ts";
import type { Driver } from "../../server/driver.ts";
import type { Engine } from "../../options/serve.ts";
import { FORCE_WAIT, within } from "../../core/within.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { type KernelSockets, openKernelSockets } from "../linux/kernel_sockets.ts";
import type { ServerSockets } from "../linux/server_sockets.ts";

/** The number of ms between two looks at the connections. */
const WATCH_INTERVAL = 5;

/** The pause between two looks, as a multiple of the time that a look takes. */
const WATCH_SHARE = 20;

/** The base of the drivers of `Bun.serve`, with the kernel's help for what Bun does not show. */
export abstract class BunServeDriver implements Driver {
  readonly engine: Engine = "bun";
  abstract readonly scheme: "http" | "https";
  abstract readonly addr: Addr;
  protected readonly kernel: KernelSockets | undefined = openKernelSockets();
  /** When the drain started, on the clock of the polls. */
  protected drainStart: number | undefined;
  protected onChange = (): void => {};
  #closedIdle = 0;
  /** Whether Bun has been told to stop. */
  #isStopped = false;
  #stopped: Promise<unknown> | undefined;
  #openAtStart = 0;
  #forced = 0;
  #isGone = false;
  /** Closes the listener without Bun noticing. */
  #closeListener: (() => boolean) | undefined;
  #watching: ReturnType<typeof setTimeout> | undefined;
  /** When the next silent connection will have been silent for too long, on the clock of the polls. */
  #nextExpiry = 0;

  protected abstract readonly server: BunServer;
  /** Whether the listener may be another process's as well. */
  protected abstract readonly isHandedOn: boolean;
  /** The sockets of the server; undefined where the kernel does not help. */
  protected abstract readonly sockets: ServerSockets | undefined;

  abstract connections(now: number): ConnInfo[];

  startDrain(onChange: () => void): void {
    this.drainStart = performance.now();
    this.onChange = onChange;
    this.#openAtStart = this.count();
    this.#closeListener = this.sockets?.closingListener(this.isHandedOn);
  }

  waitingToBeAccepted(): number | undefined {
    return this.sockets?.waiting;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.sockets?.emptyAcceptQueue(force) ??
      takeInAcceptQueue(UNKNOWN_QUEUE, force);
  }

  closeListeners(spareIdle: boolean): void {
    const isClosed = this.#closeListener?.() ?? false;
    this.#openAtStart = Math.max(this.#openAtStart, this.count());
    // Bun's own way closes the idle connections in the same breath.
    if (!isClosed || !spareIdle) this.#stop();
    else this.#watch();
  }

  /**
   * Looks for the end of the last connection, which Bun does not tell of as long as it believes that it
   * listens. Looking takes no more than a small part of the time.
   */
  #watch(): void {
    const start = performance.now();
    // From then on Bun tells.
    if (this.#isStopped) return;
    if (this.#isEmpty()) return this.onChange();
    const pause = Math.max(WATCH_INTERVAL, WATCH_SHARE * (performance.now() - start));
    this.#watching = setTimeout(() => this.#watch(), pause);
  }

  closeIdleConns(now: number, policy: PollPolicy): boolean {
    // What becomes idle after its stop Bun closes by itself, but for sessions of HTTP/2.
    if (!policy.spareIdle || this.#isEmpty()) this.#stop();
    if (!policy.spareIdle) this.#closeIdle();
    if (now >= this.#nextExpiry) this.#nextExpiry = this.#closeSilent(now);
    if (policy.ignoreHijacked && this.#onlyWebSockets()) return true;
    return this.#isDrained();
  }

  async closeAll(): Promise<void> {
    clearTimeout(this.#watching);
    this.#forced = this.#isGone ? 0 : this.count();
    this.#isStopped = true;
    const stopped = Promise.all([this.server.stop(true), this.#stopped]);
    this.sockets?.connectionsClosed();
    this.sockets?.listenerClosed();
    // Sessions of HTTP/2 with a stream in flight Bun would leave open for seconds.
    for (const conn of this.open()) this.sockets?.shutdown(conn);
    await within(stopped, FORCE_WAIT);
    this.#isGone = true;
  }

  /**
   * The tally. Bun counts no connections: those that the drain found and nothing else has ended are
   * drained.
   */
  get tally(): Tally {
    const [idle, forced] = [this.#closedIdle, this.#forced];
    const left = this.#isGone ? 0 : this.count();
    return { idle, forced, drained: Math.max(0, this.#openAtStart - idle - forced - left) };
  }

  /** Starts Bun's graceful stop: idle connections close, the others after their response. */
  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#closeIdle();
    this.#stopped = this.server.stop().then(() => {
      this.#isGone = true;
      this.onChange();
    });
    this.sockets?.listenerClosed();
  }

  #closeIdle(): void {
    const closed = this.server.closeIdleConnections();
    this.#closedIdle += closed;
    if (closed > 0) this.sockets?.connectionsClosed();
  }

  /** The open connections; none where the kernel does not help. */
  protected open(): KernelConn[] {
    return this.sockets?.connections() ?? [];
  }

  /** Returns the number of open connections: without the kernel's help, of those that Bun counts. */
  protected count(): number {
    return this.open().length || this.server.pendingRequests + this.server.pendingWebSockets;
  }

  /** Whether nothing is connected, as far as that can be seen. */
  #isEmpty(): boolean {
    return this.sockets !== undefined && this.#isQuiet() && this.open().length === 0;
  }

  /** Reports whether the drain is over, of which Bun may tell later than the kernel, or not at all. */
  #isDrained(): boolean {
    return this.#isGone || (this.#isStopped && this.#isEmpty());
  }

  /**
   * Closes the connections on which nothing has come for too long, and tells when the next one
   * will have been silent for that long.
   */
  #closeSilent(now: number): number {
    const { sockets } = this;
    if (sockets === undefined || this.addr.transport === "unix") return this.#closeQuiet(now);
    let next = Infinity;
    for (const conn of this.open()) {
      // With TLS the handshake has been received, and what came after it is not known.
      if (!conn.silent && !(this.scheme === "https" && this.#isQuiet())) continue;
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
   * Where it is not known what has come on a connection: after 5 s of drain, once no request is in
   * flight, what is left is silent, or has sent a part of a head, for at least so long.
   */
  #closeQuiet(now: number): number {
    const expiry = (this.drainStart ?? now) + NEW_CONN_LIFETIME;
    if (now < expiry) return expiry;
    if (this.#isQuiet()) {
      this.#closedIdle += this.open().length;
      this.server.stop(true);
    }
    return now;
  }

  #isQuiet(): boolean {
    return this.server.pendingRequests + this.server.pendingWebSockets === 0;
  }

  #onlyWebSockets(): boolean {
    return this.server.pendingRequests === 0 && this.server.pendingWebSockets > 0;
  }
}
