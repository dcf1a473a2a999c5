/**
 * The driver of servers of `node:http` and `node:https` on Bun, which run on Bun's own server instead of
 * sockets.
 */
import type net from "node:net";
import process from "node:process";
import type { ConnInfo } from "../../core/conn.ts";
import { NEW_CONN_LIFETIME, type PollPolicy } from "../../server/conn_table.ts";
import { ShortTurns } from "../host/short_turns.ts";
import { takeInAcceptQueue, UNKNOWN_QUEUE } from "../host/accept_queue.ts";
import { reportError } from "../../core/report_error.ts";
import type { ClosingListener } from "../linux/closing_listener.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { type KernelSockets, openKernelSockets } from "../linux/kernel_sockets.ts";
import { keyOf } from "../../core/addr.ts";
import { NodeDriver, type NodeServerTraits } from "./driver.ts";
import type { Exchange } from "./protocol.ts";
import { ServerSockets } from "../linux/server_sockets.ts";

/**
 * Returns whether a server runs on Bun's own server. Servers of `node:http2` run on `node:net`, as on Node.
 */
export function runsOnBunServe(server: net.Server, isHttp2: boolean): boolean {
  return "bun" in process.versions && "closeIdleConnections" in server && !isHttp2;
}

/**
 * The driver of a server that runs on Bun's own server. It extends the driver for Node with help of the
 * kernel: Bun withholds a new connection until its first bytes, and Bun's `close` ends new and idle
 * connections together with the listener.
 */
export class BunNodeDriver extends NodeDriver {
  readonly #server: net.Server;
  readonly #kernel: KernelSockets | undefined = openKernelSockets();
  /**
   * The kernel sockets of the server; undefined until the server listens, or if the kernel is out of reach.
   */
  #sockets: ServerSockets | undefined;
  /** The listener that closes without Bun's knowledge; undefined if the kernel cannot help. */
  #listener: ClosingListener | undefined;
  #isClosed = false;

  constructor(server: net.Server, traits: NodeServerTraits) {
    super(server, traits);
    this.#server = server;
    const onListening = () => {
      this.#sockets = ServerSockets.at(this.#kernel, this.addr);
    };
    if (server.listening) onListening();
    this.hooks.on("listening", onListening);
    this.#keepTurnsShort();
  }

  /** Makes requests wait for the next turn of the event loop if this turn takes too long. */
  #keepTurnsShort(): void {
    const turns = new ShortTurns();
    const server = this.#server;
    const emit = server.emit.bind(server);
    server.emit = (event: string | symbol, ...args: unknown[]) => {
      const wait = event === "request" ? turns.wait() : undefined;
      if (wait === undefined) return emit(event, ...args);
      // The cast: Bun emits "request" with these arguments.
      const [req, res] = args as [Exchange["req"], Exchange["res"]];
      // The request is in flight from now on.
      if (this.begin(req, res) === undefined) return true;
      // An error of a listener is an uncaught exception, and no rejection.
      wait.then(() => queueMicrotask(() => emit(event, ...args)));
      return true;
    };
  }

  override startLameDuck(): void {
    super.startLameDuck();
    // If the drain starts at least a second later, the kernel then withholds no connection.
    this.#sockets?.disableDeferAccept();
  }

  override startDrain(onChange: () => void, isShared?: boolean): void {
    super.startDrain(onChange, isShared);
    this.#listener = this.#sockets?.closingListener(isShared ?? false);
    this.#addTimeWithheld();
  }

  /** Adds the time for which the kernel has withheld a silent connection to the age of the connection. */
  #addTimeWithheld(): void {
    const conns = [...this.conns].filter((conn) => conn.state() === "new");
    if (conns.length === 0 || this.#sockets === undefined) return;
    const now = Math.trunc(performance.now());
    const silent = new Map(
      this.#sockets.connections().map((conn) => [keyOf(conn.remoteAddr), conn.silentFor]),
    );
    for (const conn of conns) {
      conn.acceptedAt = now - (silent.get(keyOf(conn.remoteAddr)) ?? now - conn.acceptedAt);
    }
  }

  get refusesNewConns(): boolean {
    return this.#listener?.refuses === true;
  }

  override waitingToBeAccepted(): number | undefined {
    return this.#server.listening ? this.#sockets?.waiting : 0;
  }

  override emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#sockets?.emptyAcceptQueue(force) ??
      takeInAcceptQueue(UNKNOWN_QUEUE, force);
  }

  override async closeListeners(): Promise<void> {
    const stays = this.#listener?.stayForWithheld(() => {
      this.#closeListener().catch(reportError);
      this.#addTimeWithheld();
      this.onChange?.();
    });
    if (stays !== true) await this.#closeListener();
  }

  async #closeListener(): Promise<void> {
    let closed: Promise<void> | undefined;
    if (!this.#listener?.close()) {
      this.#isClosed = true;
      closed = super.closeListeners();
    }
    this.#sockets?.listenerClosed();
    await closed;
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isQuiescent = super.closeIdleConns(now, policy) && this.#closeUnseen() &&
      this.#listener?.stays !== true;
    if (isQuiescent) this.#closeForGood();
    return isQuiescent;
  }

  override async closeAll(): Promise<void> {
    const told = this.#listener?.closeByForce();
    await super.closeAll();
    for (const { fd } of this.#unseen()) this.#kernel?.shutdown(fd);
    this.#closeForGood();
    await told;
  }

  override connections(now: number): ConnInfo[] {
    this.#addTimeWithheld();
    const unseen = this.#unseen().map(({ silentFor, remoteAddr }) => ({
      state: "new" as const,
      age: silentFor,
      remoteAddr,
    }));
    const withheld = this.#listener?.withheld ?? this.#sockets?.withheld() ?? [];
    return [...super.connections(now), ...unseen, ...withheld];
  }

  /** Closes the connections whose TLS handshake takes too long. Returns whether no handshake is pending. */
  #closeUnseen(): boolean {
    const unseen = this.#unseen();
    for (const { fd, silentFor } of unseen) {
      if (silentFor >= NEW_CONN_LIFETIME) this.#kernel?.shutdown(fd);
    }
    return unseen.length === 0;
  }

  /**
   * Returns the connections whose TLS handshake is not done. Bun shows a TLS connection only after its
   * handshake.
   */
  #unseen(): KernelConn[] {
    if (this.scheme !== "https" || this.#sockets === undefined) return [];
    const seen = new Set([...this.conns].map(({ remoteAddr }) => keyOf(remoteAddr)));
    return this.#sockets.connections().filter(({ remoteAddr }) => !seen.has(keyOf(remoteAddr)));
  }

  /**
   * Calls `close` of the server, because its owner may wait for the "close" event. Must not be called
   * before all connections have ended, because `close` would cut them off.
   */
  #closeForGood(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
  }
}
