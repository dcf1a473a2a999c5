import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import { takeInAcceptQueue } from "../host/accept_queue.ts";
import { ClosingListener } from "./closing_listener.ts";
import type { KernelConn } from "./kernel_conn.ts";
import type { KernelSockets } from "./kernel_sockets.ts";
import { LONGEST_WITHHELD, withheldConns } from "./withheld_conns.ts";

/**
 * The sockets of one server among all sockets of its process: its listener and its connections. Sockets of
 * other servers may have the same address: a server that shares the port (SO_REUSEPORT), an earlier or later
 * server that is still draining, or a server of a Worker, whose thread shares the descriptors. A connection
 * is shown only if it is known to belong to this server.
 */
export class ServerSockets {
  readonly #kernel: KernelSockets;
  readonly #addr: Addr;
  /** The descriptors of the sockets, one of which is the server's listener, by the cookies of the sockets. */
  readonly #listeners: ReadonlyMap<bigint, number>;
  /** The labels of the listeners at the address, by the cookies of the listeners. */
  readonly #labels: ReadonlyMap<bigint, number>;
  /** The cookies of the connections that existed at the address before the listener did. */
  readonly #strangers: ReadonlySet<bigint>;
  /**
   * The `epoll` instances, one of which watches the listener. They are found early, because at the end of a busy
   * server there are thousands of descriptors to search.
   */
  readonly #epolls: readonly number[];
  /** Whether a connection without a label can belong to this server. */
  readonly #mayBeUnlabeled: boolean = true;
  /** The cookie of the listener; undefined until it is known which of `#listeners` is the server's. */
  #listener: bigint | undefined;
  /** The time at which the kernel was told to withhold no further connections, on the clock of `performance.now()`. */
  #lastDeferred = -Infinity;
  /** The connections at the address as the last search found them; undefined once the caller has yielded. */
  #found: KernelConn[] | undefined;
  /** The cookies of the connections that the listener has accepted; undefined until the listener is closed. */
  #accepted: ReadonlySet<bigint> | undefined;

  /**
   * Creates the sockets of a server. `listeners` are descriptors by the cookies of their sockets: at least
   * one, and among them the server's listener. `strangers` are the cookies of connections that existed at the
   * address before the listener did.
   */
  constructor(
    kernel: KernelSockets,
    listeners: ReadonlyMap<bigint, number>,
    strangers: ReadonlySet<bigint> = new Set(),
  ) {
    const fds = [...listeners.values()];
    this.#kernel = kernel;
    this.#listeners = listeners;
    this.#strangers = strangers;
    this.#epolls = kernel.epolls();
    // Connections have the address that the listener was bound to: a unix socket's file may be renamed later.
    this.#addr = kernel.addressOf(fds[0]!)!;
    if (fds.length === 1) this.#listener = [...listeners.keys()][0];
    const isLabeled = fds.every((fd) => kernel.labels.labelOf(fd) !== undefined);
    for (const fd of fds) kernel.labels.label(fd);
    this.#labels = uniqueLabels(kernel, kernel.listenersAt(this.#addr));
    // From here on, each new connection inherits the label of its listener.
    const isNew = !isLabeled && this.waiting === 0 && this.#own().length === 0;
    this.#mayBeUnlabeled = this.#label === undefined || !(isLabeled || isNew);
    if (!this.#canTakeInWithheld()) this.disableDeferAccept();
  }

  /**
   * Returns the sockets of a server of which only the address is known. Returns undefined if nothing listens
   * at the address, or without access to the kernel's sockets.
   */
  static at(kernel: KernelSockets | undefined, addr: Addr): ServerSockets | undefined {
    const listeners = kernel?.listenersAt(addr);
    if (kernel === undefined || listeners === undefined || listeners.size === 0) return undefined;
    return new ServerSockets(kernel, listeners);
  }

  /** The descriptor of the listener; undefined if the listener is closed, or not known. */
  get listener(): number | undefined {
    if (this.#listener === undefined || this.#accepted !== undefined) return undefined;
    const fd = this.#listeners.get(this.#listener);
    // The listener's owner may have closed it, and its number may belong to something else by now.
    return fd !== undefined && this.#kernel.cookieOf(fd) === this.#listener ? fd : undefined;
  }

  /** The number of connections in the accept queue of the listener; undefined if that is not known. */
  get waiting(): number | undefined {
    const { listener } = this;
    return listener === undefined ? undefined : this.#kernel.waitingToBeAccepted(listener);
  }

  /** Lets Bun accept the connections in the accept queue, which takes one turn of its event loop. */
  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return takeInAcceptQueue({ waiting: () => this.waiting, accepted: () => 0 }, force);
  }

  /**
   * Makes the kernel show new connections at once, and not only when their first bytes have arrived. Each
   * connection then costs the process one more turn of its event loop.
   */
  disableDeferAccept(): void {
    if (this.#addr.transport === "unix") return;
    for (const [cookie, fd] of this.#listeners) {
      // The descriptor may belong to something else by now.
      if (this.#kernel.cookieOf(fd) !== cookie || !this.#kernel.defersAccept(fd)) continue;
      this.#kernel.disableDeferAccept(fd);
      this.#lastDeferred = performance.now();
    }
  }

  /**
   * Returns whether the connections that the kernel withholds can be accepted before the listener closes. If
   * another socket listens at the address too, the kernel cannot refuse new connections meanwhile.
   */
  #canTakeInWithheld(): boolean {
    const { listener } = this;
    return listener !== undefined && this.#kernel.canTakeInWithheld(listener) &&
      this.#kernel.hasOneListener(this.#addr);
  }

  /**
   * Prepares to close the listener without its owner's knowledge. Returns undefined if the listener is not known.
   * `isShared` says that another server accepts on the socket too.
   */
  closingListener(isShared: boolean): ClosingListener | undefined {
    const { listener } = this;
    if (listener === undefined) return undefined;
    const close = this.#kernel.closingUnnoticed(listener, this.#epolls);
    if (!isShared) this.disableDeferAccept();
    const mayWithhold = performance.now() - this.#lastDeferred < LONGEST_WITHHELD;
    return new ClosingListener({
      kernel: this.#kernel,
      fd: listener,
      addr: this.#addr,
      isShared,
      mayWithhold,
      emptyQueue: (force) => this.emptyAcceptQueue(force),
      close: () => {
        const isClosed = close(this.listener === listener);
        if (isClosed) this.listenerClosed();
        return isClosed;
      },
    });
  }

  /**
   * Returns the connections that the kernel withholds from the listener while the server serves. Returns an empty
   * list if they could belong to another listener.
   */
  withheld(): ConnInfo[] {
    const { listener } = this;
    const addr = this.#addr;
    if (listener === undefined || addr.transport === "unix") return [];
    if (!this.#kernel.defersAccept(listener) || !this.#kernel.hasOneListener(addr)) return [];
    return withheldConns(this.#kernel.handshakesAt(addr) ?? []);
  }

  /** Returns the open connections of the server. */
  connections(): KernelConn[] {
    const accepted = this.#accepted;
    if (accepted === undefined) return this.#own();
    return this.#atAddress().filter(({ cookie }) => accepted.has(cookie));
  }

  /** Whether no connection of the server is open. The search usually ends at the first open connection. */
  get isEmpty(): boolean {
    const accepted = this.#accepted;
    const own = this.#label;
    const isOwn = accepted !== undefined
      ? ({ cookie }: KernelConn) => accepted.has(cookie)
      : own !== undefined && !this.#mayBeUnlabeled
      ? ({ cookie, label }: KernelConn) => label === own && !this.#strangers.has(cookie)
      : undefined;
    if (isOwn === undefined) return this.#own().length === 0;
    return this.#found === undefined
      ? !this.#kernel.hasConnection(this.#addr, isOwn)
      : !this.#found.some(isOwn);
  }

  /**
   * Records that the listener has closed. Must be called in the turn in which it closes, because connections
   * that come to the address later belong to other servers. If it was unknown which socket was the server's
   * listener, it is the socket that no longer listens.
   */
  listenerClosed(): void {
    if (this.#accepted !== undefined) return;
    if (this.#listener === undefined) {
      const left = this.#kernel.listenersAt(this.#addr);
      const gone = [...this.#listeners.keys()].filter((cookie) => !left.has(cookie));
      if (gone.length === 1) this.#listener = gone[0];
    }
    this.#accepted = new Set(this.#own().map(({ cookie }) => cookie));
  }

  /** Shuts a connection down in both directions, so that its client and its owner see it end. */
  shutdown({ fd }: KernelConn): void {
    this.#kernel.shutdown(fd);
    this.connectionsClosed();
  }

  /**
   * Forgets the connections that were found. To be called when the runtime was told to close connections,
   * because it may do so in the same turn.
   */
  connectionsClosed(): void {
    this.#found = undefined;
  }

  /**
   * Finds the connections once for all steps of a drain that follow each other directly: with thousands of
   * connections each search takes many milliseconds.
   */
  #atAddress(): KernelConn[] {
    if (this.#found === undefined) {
      this.#found = this.#kernel.connections(this.#addr);
      queueMicrotask(() => this.connectionsClosed());
    }
    return this.#found;
  }

  /** Returns the connections at the address that are known to belong to this server. */
  #own(): KernelConn[] {
    const all = this.#atAddress().filter(({ cookie }) => !this.#strangers.has(cookie));
    const hasUnlabeled = all.some(({ label }) => label === undefined);
    const isSure = hasUnlabeled && this.#mayBeUnlabeled && !this.#sharesAddress();
    const own = this.#label;
    return all.filter(({ label }) => label === undefined ? isSure : label === own);
  }

  get #label(): number | undefined {
    return this.#listener === undefined ? undefined : this.#labels.get(this.#listener);
  }

  /** Reports whether another socket listens at the address. */
  #sharesAddress(): boolean {
    const listeners = this.#kernel.listenersAt(this.#addr);
    if (this.#listener !== undefined) listeners.delete(this.#listener);
    return listeners.size > 0;
  }
}

/**
 * Returns the labels of listeners, without the labels that several listeners have: such a label was set
 * elsewhere, and does not identify a listener.
 */
function uniqueLabels(
  kernel: KernelSockets,
  listeners: ReadonlyMap<bigint, number>,
): Map<bigint, number> {
  const labels = new Map<bigint, number>();
  const seen = new Map<number, bigint>();
  for (const [cookie, fd] of listeners) {
    const label = kernel.labels.labelOf(fd);
    if (label === undefined) continue;
    const other = seen.get(label);
    if (other === undefined) labels.set(cookie, label);
    else labels.delete(other);
    seen.set(label, cookie);
  }
  return labels;
}
