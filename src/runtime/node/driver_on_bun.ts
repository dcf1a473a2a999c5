/** Servers of `node:http` and `node:https` on Bun, which run on its own server and not on sockets. */
import type net from "node:net";
import process from "node:process";
import type { ConnInfo } from "../../core/conn.ts";
import { NEW_CONN_LIFETIME, type PollPolicy } from "../../server/conn_table.ts";
import { takeInAcceptQueue, UNKNOWN_QUEUE } from "../host/accept_queue.ts";
import { type KernelConn, type KernelSockets, openKernelSockets } from "../linux/kernel_sockets.ts";
import { keyOf } from "../../core/addr.ts";
import { NodeDriver, type NodeServerTraits } from "./driver.ts";
import { ServerSockets } from "../linux/server_sockets.ts";

/** Whether it is such a server: those of `node:http2` run on `node:net`, as on Node. */
export function runsOnBunServe(server: net.Server, isHttp2: boolean): boolean {
  return "bun" in process.versions && "closeIdleConnections" in server && !isHttp2;
}

/**
 * The same as on Node, with the kernel's help: Bun keeps a new connection back until it sends something,
 * and its `close` ends new and idle ones together with the listener.
 */
export class BunNodeDriver extends NodeDriver {
  readonly #server: net.Server;
  readonly #kernel: KernelSockets | undefined = openKernelSockets();
  /** From when it has listened, where the kernel helps. */
  #sockets: ServerSockets | undefined;
  /** Closes the listener behind its owner's back. */
  #closeListener: (() => boolean) | undefined;
  #isClosed = false;

  constructor(server: net.Server, traits: NodeServerTraits) {
    super(server, traits);
    this.#server = server;
    const onListening = () => {
      this.#sockets = ServerSockets.at(this.#kernel, this.addr);
      this.#sockets?.disableDeferAccept();
    };
    if (server.listening) onListening();
    this.hooks.on("listening", onListening);
  }

  override startDrain(onChange: () => void): void {
    super.startDrain(onChange);
    this.#closeListener = this.#sockets?.closingListener(false);
  }

  override waitingToBeAccepted(): number | undefined {
    return this.#server.listening ? this.#sockets?.waiting : 0;
  }

  override emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#sockets?.emptyAcceptQueue(force) ??
      takeInAcceptQueue(UNKNOWN_QUEUE, force);
  }

  override async closeListeners(): Promise<void> {
    let closed: Promise<void> | undefined;
    if (!this.#closeListener?.()) {
      this.#isClosed = true;
      closed = super.closeListeners();
    }
    this.#sockets?.listenerClosed();
    await closed;
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isQuiescent = super.closeIdleConns(now, policy) && this.#closeUnseen();
    if (isQuiescent) this.#closeForGood();
    return isQuiescent;
  }

  override async closeAll(): Promise<void> {
    await super.closeAll();
    for (const { fd } of this.#unseen()) this.#kernel?.shutdown(fd);
    this.#closeForGood();
  }

  override connections(now: number): ConnInfo[] {
    const unseen = this.#unseen().map(({ silentFor, remoteAddr }) => ({
      state: "new" as const,
      age: silentFor,
      remoteAddr,
    }));
    return [...super.connections(now), ...unseen];
  }

  /** Closes the connections whose handshake takes too long, and reports whether none is left. */
  #closeUnseen(): boolean {
    const unseen = this.#unseen();
    for (const { fd, silentFor } of unseen) {
      if (silentFor >= NEW_CONN_LIFETIME) this.#kernel?.shutdown(fd);
    }
    return unseen.length === 0;
  }

  /** With TLS Bun shows a connection when its handshake is done. */
  #unseen(): KernelConn[] {
    if (this.scheme !== "https" || this.#sockets === undefined) return [];
    const seen = new Set([...this.conns].map(({ remoteAddr }) => keyOf(remoteAddr)));
    return this.#sockets.connections().filter(({ remoteAddr }) => !seen.has(keyOf(remoteAddr)));
  }

  /** For its owner, who may wait for its end: nothing is left that this could cut off. */
  #closeForGood(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
  }
}
