import type { Addr } from "../../core/addr.ts";
import { takeInAcceptQueue } from "../host/accept_queue.ts";
import type { KernelConn } from "./kernel_conn.ts";
import type { KernelSockets } from "./kernel_sockets.ts";

/**
 * The sockets of one server among those of its process. Others may have its address as well: another
 * server beside it (SO_REUSEPORT), one before or after it that still drains, one of a Worker, which
 * shares the descriptors. What is not known to be this server's is not shown.
 */
export class ServerSockets {
  readonly #kernel: KernelSockets;
  readonly #addr: Addr;
  /** The descriptors of the sockets of which one is the server's listener, by their cookies. */
  readonly #listeners: ReadonlyMap<bigint, number>;
  readonly #labels: ReadonlyMap<bigint, number>;
  /** The connections that were at the address before the listener was. */
  readonly #strangers: ReadonlySet<bigint>;
  /** Whether connections without a label can be this server's. */
  readonly #mayBeUnlabeled: boolean = true;
  /** The cookie of the listener, once it is known which one it is. */
  #listener: bigint | undefined;
  /** The connections at the address, as they were found since the caller last gave way to the event loop. */
  #found: KernelConn[] | undefined;
  /** The connections that the listener has accepted, once the listener is closed. */
  #accepted: ReadonlySet<bigint> | undefined;

  /** Takes at least one listener. `strangers` are cookies of connections. */
  constructor(
    kernel: KernelSockets,
    listeners: ReadonlyMap<bigint, number>,
    strangers: ReadonlySet<bigint> = new Set(),
  ) {
    const fds = [...listeners.values()];
    this.#kernel = kernel;
    this.#listeners = listeners;
    this.#strangers = strangers;
    // Where it is bound: the file of a unix socket may have another name by now.
    this.#addr = kernel.addressOf(fds[0]!)!;
    if (fds.length === 1) this.#listener = [...listeners.keys()][0];
    const isLabeled = fds.every((fd) => kernel.labels.labelOf(fd) !== undefined);
    for (const fd of fds) kernel.labels.label(fd);
    this.#labels = uniqueLabels(kernel, kernel.listenersAt(this.#addr));
    // From here on each connection inherits the label.
    const isNew = !isLabeled && this.waiting === 0 && this.#own().length === 0;
    this.#mayBeUnlabeled = this.#label === undefined || !(isLabeled || isNew);
  }

  /** Finds the sockets of a server of which nothing but the address is known. */
  static at(kernel: KernelSockets | undefined, addr: Addr): ServerSockets | undefined {
    const listeners = kernel?.listenersAt(addr);
    if (kernel === undefined || listeners === undefined || listeners.size === 0) return undefined;
    return new ServerSockets(kernel, listeners);
  }

  /** The descriptor of the listener, if that is open and known. */
  get listener(): number | undefined {
    if (this.#listener === undefined || this.#accepted !== undefined) return undefined;
    const fd = this.#listeners.get(this.#listener);
    // Its owner may have closed it, and something else have the number by now.
    return fd !== undefined && this.#kernel.cookieOf(fd) === this.#listener ? fd : undefined;
  }

  /** The number of connections in the accept queue; undefined if that is not known. */
  get waiting(): number | undefined {
    const { listener } = this;
    return listener === undefined ? undefined : this.#kernel.waitingToBeAccepted(listener);
  }

  /** Has Bun accept the connections in the accept queue, which takes one turn of its event loop. */
  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return takeInAcceptQueue({ waiting: () => this.waiting, accepted: () => 0 }, force);
  }

  /** Has the kernel show connections at once, not only with their first bytes. */
  disableDeferAccept(): void {
    if (this.#addr.transport === "unix") return;
    for (const fd of this.#listeners.values()) this.#kernel.disableDeferAccept(fd);
  }

  /**
   * Prepares to close the listener behind its owner's back, and returns what does it. Undefined if the
   * listener is not known. From here on the kernel ignores new handshakes: a connection that came between
   * the last look at the accept queue and the close would be reset, and a client whose first segment is lost
   * sends it again, and is refused. A socket that was handed on is another process's as well.
   */
  closingListener(isHandedOn: boolean): (() => boolean) | undefined {
    const { listener } = this;
    if (listener === undefined) return undefined;
    const close = this.#kernel.closingUnnoticed(listener);
    const letIn = isHandedOn ? undefined : this.#kernel.holdBackHandshakes(listener);
    return () => {
      const isClosed = this.listener === listener && close();
      if (isClosed) this.listenerClosed();
      else letIn?.();
      return isClosed;
    };
  }

  /** The connections that are open. */
  connections(): KernelConn[] {
    const accepted = this.#accepted;
    if (accepted === undefined) return this.#own();
    return this.#atAddress().filter(({ cookie }) => accepted.has(cookie));
  }

  /**
   * To be called when the listener has closed, in the same turn: what comes to the address from now on
   * is not for this server. If there were several of which one was its listener, it is the one that has
   * gone.
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

  /** Ends a connection as its client would see it end. */
  shutdown({ fd }: KernelConn): void {
    this.#kernel.shutdown(fd);
    this.connectionsClosed();
  }

  /** To be called when the runtime has been told to close connections, which it may do in the same turn. */
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

  #own(): KernelConn[] {
    const all = this.#atAddress().filter(({ cookie }) => !this.#strangers.has(cookie));
    const hasUnlabeled = all.some(({ label }) => label === undefined);
    const isSure = hasUnlabeled && this.#mayBeUnlabeled && !this.#isShared();
    const own = this.#label;
    return all.filter(({ label }) => label === undefined ? isSure : label === own);
  }

  get #label(): number | undefined {
    return this.#listener === undefined ? undefined : this.#labels.get(this.#listener);
  }

  /** Whether another socket listens at the address. */
  #isShared(): boolean {
    const listeners = this.#kernel.listenersAt(this.#addr);
    if (this.#listener !== undefined) listeners.delete(this.#listener);
    return listeners.size > 0;
  }
}

/** The labels of listeners, but for those that are the same: they have come from somewhere else. */
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
