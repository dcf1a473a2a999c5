import { closeSync } from "node:fs";
import process from "node:process";
import type { Addr } from "../../core/addr.ts";
import { isBoundTo } from "./bound_address.ts";
import { bun } from "../api/bun.ts";
import { addrOf, deno } from "../api/deno.ts";
import type { KernelSockets } from "./kernel_sockets.ts";
import { listenError } from "../host/listen_error.ts";
import type { ListeningSocket, OpenOptions, Sockets, Steering } from "../../core/sockets.ts";
import { atSparePath } from "../../core/spare_path.ts";

/** The number of standard descriptors (stdin, stdout and stderr), which precede all other descriptors. */
const STDIO = 3;

/**
 * The listening sockets of a process on Deno or Bun. The runtime's own `listen` opens a socket, so that
 * resolving names, checking permissions and reporting errors is up to the runtime. The kernel then reports
 * the descriptor.
 */
export class FfiSockets implements Sockets {
  readonly steering: Steering;
  readonly withInheritable: Sockets["withInheritable"];
  readonly #kernel: KernelSockets;

  constructor(kernel: KernelSockets) {
    this.#kernel = kernel;
    this.steering = kernel.steering;
    if ("deno" in process.versions) {
      this.withInheritable = (fds, spawn) => this.#withInheritable(fds, spawn);
    }
  }

  open(listen: Addr, { backlog, reusePort }: OpenOptions): ListeningSocket {
    const { made, fd: own } = this.#kernel.opening(
      () => listenNatively(listen, reusePort),
      ({ addr }) => addr,
      ({ close }) => close(),
    );
    try {
      if (own === undefined) throw new Error("Cannot find the descriptor of the new listener");
      const fd = this.#kernel.duplicate(own, STDIO);
      this.#kernel.disableDeferAccept(fd);
      if (backlog !== undefined) this.#kernel.setBacklog(fd, backlog);
      const addr = listen.transport === "unix" ? listen : this.#kernel.addressOf(fd)!;
      return { fd, addr };
    } finally {
      // This happens before the event loop turns, so the runtime has accepted nothing on the socket.
      made.close();
    }
  }

  startListening(sockets: readonly ListeningSocket[], backlog: number): void {
    for (const { fd } of sockets) this.#kernel.setBacklog(fd, backlog);
  }

  addressOf(fd: number): Addr | undefined {
    return this.#kernel.listening().has(fd) ? this.#kernel.addressOf(fd) : undefined;
  }

  listensAt(fd: number, addr: Addr): boolean {
    return isBoundTo(this.addressOf(fd), addr);
  }

  isPipe(fd: number): boolean {
    return this.#kernel.isPipe(fd);
  }

  isOpen(fd: number): boolean {
    return this.#kernel.listening().has(fd);
  }

  lend(fd: number): number {
    return fd;
  }

  close(fd: number): void {
    // A server may have closed the descriptor, and its number may belong to something else by now.
    if (this.isOpen(fd)) this.#kernel.close(fd);
  }

  closeOnExec(fd: number): void {
    if ("deno" in process.versions) closeDuplicate(fd);
    this.#kernel.setCloseOnExec(fd);
  }

  writeAndClose(pipe: number, text: string): boolean {
    const isSent = this.#kernel.send(pipe, text);
    this.#kernel.close(pipe);
    return isSent;
  }

  /**
   * Calls `spawn` with duplicates of the descriptors. Deno and Bun move descriptors to their numbers in the
   * new program one by one, so a descriptor that already has one of these numbers could be overwritten before
   * its turn; the duplicates have higher numbers. Deno also makes the sockets blocking, for the new program.
   * They are made nonblocking again, because an `accept` of this process would stop its event loop until the
   * next connection comes.
   */
  withPassable<T>(fds: readonly number[], spawn: (fds: readonly number[]) => T): T {
    const duplicates = fds.map((fd) => this.#kernel.duplicate(fd, beyond(fds)));
    try {
      return spawn(duplicates);
    } finally {
      for (const fd of duplicates) {
        this.#kernel.setNonblocking(fd);
        this.#kernel.close(fd);
      }
    }
  }

  spreadOver(fd: number, places: readonly number[]): boolean {
    return this.#kernel.spreadOver(fd, places);
  }

  #withInheritable<T>(fds: readonly number[], spawn: (numbers: readonly number[]) => T): T {
    const numbers = fds.map((fd) => this.#kernel.duplicateInheritable(fd, beyond(fds)));
    try {
      return spawn(numbers);
    } finally {
      for (const fd of numbers) this.#kernel.close(fd);
    }
  }
}

/** Returns a number beyond those that the descriptors, and a pipe, get in the new program. */
function beyond(fds: readonly number[]): number {
  return STDIO + 1 + fds.length;
}

/**
 * Closes the second descriptor that Deno makes for each descriptor that it inherits from another Deno. The
 * second descriptor is meant for `node:fs` to use and to close; a listening socket would keep listening
 * through it.
 */
function closeDuplicate(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // There is no second descriptor, because Deno did not start this process.
  }
}

/** A listener that the runtime's own `listen` has opened. */
interface NativeListener {
  /** The address that the socket is bound to: for a unix socket, the spare path. */
  readonly addr: Addr;
  close(): void;
}

function listenNatively(listen: Addr, reusePort: boolean): NativeListener {
  const listenAt = "deno" in process.versions ? listenOnDeno : listenOnBun;
  try {
    if (listen.transport === "tcp") return listenAt(listen, reusePort);
    return atSparePath(
      listen.path,
      (path) => listenAt({ transport: "unix", path }, reusePort),
      (listener) => listener.close(),
    );
  } catch (error) {
    throw listenError(listen, error);
  }
}

function listenOnDeno(listen: Addr, reusePort: boolean): NativeListener {
  const listener = deno().listen(listen.transport === "unix" ? listen : { ...listen, reusePort });
  return { addr: addrOf(listener.addr), close: () => listener.close() };
}

function listenOnBun(listen: Addr, reusePort: boolean): NativeListener {
  const where = listen.transport === "unix"
    ? { unix: listen.path }
    : { hostname: listen.hostname, port: listen.port, reusePort };
  // Bun requires a handler for the data of connections, although this listener accepts none.
  const listener = bun().listen({ ...where, socket: { data() {} } });
  const addr = listen.transport === "unix" ? listen : { ...listen, port: listener.port };
  return { addr, close: () => listener.stop(true) };
}
