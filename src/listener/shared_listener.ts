import { ofProcess } from "../core/process_state.ts";
import { rmSync } from "node:fs";
import { type Addr, sameAddr } from "../core/addr.ts";
import { UpgradeError } from "../core/errors.ts";
import type { OpenOptions } from "../core/sockets.ts";
import type { Listener } from "../options/listen.ts";
import { isOpenInDescendant } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Driver } from "../server/driver.ts";
import type { Handoff, InheritedSocket } from "./handover.ts";
import { isHeldBySupervisor, unclaim } from "./inheritance.ts";
import { cancel, isHeldByPredecessor, isPending, whenReady } from "./readiness.ts";

/** The listeners of this process. */
const listeners = () => ofProcess(newListeners);
const newListeners = () => ({
  /** Listeners that are open. A successor inherits them. */
  open: new Set<SharedListener>(),
  /** Whether a successor is starting, which has the sockets of the listeners. */
  isSuccessorStarting: false,
  /** The paths of unix sockets that were closed while a successor was starting, which may need the files. */
  leftFiles: new Set<string>(),
  /** Whether a successor has taken over. The files of unix sockets then belong to the successor. */
  succeeded: false,
});

/** A {@linkcode Listener} that a successor can inherit, and that a server of this package may accept on. */
export class SharedListener implements Listener {
  readonly inherited: boolean;
  /** The backlog that the server has to set. Undefined if the socket already listens. */
  backlog: number | undefined;
  readonly #socket: InheritedSocket;
  /**
   * The options of the socket that this listener opens beside the predecessor's socket (SO_REUSEPORT). Undefined if the
   * listener accepts on the given socket itself.
   */
  readonly #beside: OpenOptions | undefined;
  #fd: number;
  #state: "open" | "served" | "closed" = "open";
  #start: (() => Promise<void>) | undefined;
  /** Whether the program has asked for the descriptor, which it may have passed to another process. */
  #isLent = false;

  constructor(socket: InheritedSocket, inherited: boolean, beside?: OpenOptions) {
    this.#socket = socket;
    this.inherited = inherited;
    this.#beside = beside;
    this.#fd = socket.fd;
    listeners().open.add(this);
  }

  get addr(): Addr {
    return this.#socket.addr;
  }

  get handoff(): Handoff {
    return this.#socket.handoff;
  }

  get fd(): number {
    this.#isLent = true;
    return sockets().lend(this.#fd);
  }

  /**
   * Whether a successor accepts the connections in the accept queue. With SO_REUSEPORT the queue was emptied before the
   * drain began.
   */
  get isTakenOver(): boolean {
    return listeners().succeeded;
  }

  /** Whether another process accepts on the socket too, or may do so. */
  get isShared(): boolean {
    return this.#isLent || this.isHeldElsewhere;
  }

  /**
   * Whether the socket stays open without this process: for a successor, which may still be starting, for a predecessor
   * that keeps serving, for the other workers of a supervisor that goes on, or for whoever gets it from systemd next.
   */
  get isHeldElsewhere(): boolean {
    return this.isTakenOver || listeners().isSuccessorStarting || this.#socket.kept !== false ||
      isHeldBySupervisor(this.#fd) ||
      (this.inherited && isHeldByPredecessor());
  }

  /** Whether a process that this process has started has the socket open, and may accept on it. */
  get isPassedOn(): boolean {
    return isOpenInDescendant(this.#fd);
  }

  /** Whether no server has the listener yet. */
  get isFree(): boolean {
    return this.#state === "open" && this.#start === undefined;
  }

  /** Makes the driver accept on the listener, once this process is ready. */
  async giveTo(driver: Driver): Promise<void> {
    this.#start = async () => {
      if (this.#beside !== undefined) await this.#openBeside(this.#beside);
      // The `!`: a driver that was started with the address of a socket has the method.
      this.#fd = await driver.acceptOn!(this.#fd, (fd) => {
        this.#fd = fd;
      });
      this.#state = "served";
    };
    await whenReady(this.#start);
  }

  /** Opens another socket on the same port, and steers all new connections to that socket. */
  async #openBeside(options: OpenOptions): Promise<void> {
    const socket = await sockets().open(this.addr, { ...options, reusePort: true });
    sockets().close(this.#fd);
    this.#fd = socket.fd;
    if (sockets().steering?.steerTo(socket)) return;
    throw new UpgradeError("Cannot steer connections to the new socket: the kernel refuses");
  }

  /** Leaves the choice among the sockets of the port to the kernel again. */
  stopSteering(): void {
    if (this.#beside !== undefined && this.#state === "served") sockets().steering?.stop(this.#fd);
  }

  /** Whether the descriptor still belongs to the socket: a server of another owner may have closed it. */
  get isListening(): boolean {
    return sockets().isOpen(this.#fd);
  }

  /** The description of the socket for a successor. */
  get inheritedSocket(): InheritedSocket {
    return { ...this.#socket, fd: this.#fd };
  }

  close(): void {
    if (this.isFree) this.closed();
  }

  /**
   * Records that the server has closed the listener, and removes the file of a unix socket. Must be called by that
   * server.
   */
  closed(): void {
    if (this.#state === "closed") return;
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    listeners().open.delete(this);
    if (this.#start !== undefined) cancel(this.#start);
    // Until this process is ready the socket belongs to the predecessor, and another server may ask for it.
    if (wasOpen && this.inherited && isPending()) return unclaim(this.#socket);
    if (wasOpen) sockets().close(this.#fd);
    const { addr, unlink } = this.#socket;
    if (unlink && addr.transport === "unix") leaveFile(addr.path);
  }
}

/** Returns the listeners of this process whose sockets are still open. */
export function openListeners(): readonly SharedListener[] {
  return [...listeners().open].filter((listener) => listener.isListening);
}

/**
 * Returns whether the listener at an address stays open without this process, for an adopted server that accepts on its
 * descriptor. The program has the descriptor, and may have passed it on to a process that it has started. Returns
 * undefined if no listener of this process is there.
 */
export function isHeldElsewhere(at: Addr): boolean | undefined {
  const found = openListeners().find(({ addr }) => sameAddr(addr, at));
  return found && (found.isHeldElsewhere || found.isPassedOn);
}

/** Records whether a successor is starting. It does not count from the moment at which it has to end. */
export function successorStarts(isStarting: boolean): void {
  const { leftFiles } = listeners();
  listeners().isSuccessorStarting = isStarting;
  if (isStarting) return;
  for (const path of leftFiles) leaveFile(path);
  leftFiles.clear();
}

/** Removes the file of a unix socket that was closed, unless a successor has the socket or may get it. */
function leaveFile(path: string): void {
  const { succeeded, isSuccessorStarting, leftFiles } = listeners();
  if (succeeded) return;
  if (isSuccessorStarting) leftFiles.add(path);
  else rmSync(path, { force: true });
}

/** Marks the listeners as taken over by a successor, which then owns the files of unix sockets. */
export function leaveToSuccessor(): void {
  listeners().succeeded = true;
}
