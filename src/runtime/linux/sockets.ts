import { closeSync } from "node:fs";
import process from "node:process";
import type { Addr } from "../../core/addr.ts";
import { isBoundTo } from "./bound_address.ts";
import { bun } from "../api/bun.ts";
import { addrOf, deno } from "../api/deno.ts";
import type { KernelSockets } from "./kernel_sockets.ts";
import { listenError } from "../../core/listen_error.ts";
import type { ListeningSocket, OpenOptions, Sockets, Steering } from "../../core/sockets.ts";
import { atSparePath } from "../../core/spare_path.ts";

/** The number of descriptors of a console, which come before the others. */
const STDIO = 3;

/**
 * Sockets of Deno and Bun: the runtime's own `listen` opens them, so that names, permissions and
 * errors are the runtime's, and the kernel tells their numbers.
 */
export class FfiSockets implements Sockets {
  readonly steering: Steering;
  readonly #kernel: KernelSockets;

  constructor(kernel: KernelSockets) {
    this.#kernel = kernel;
    this.steering = kernel.steering;
  }

  open(listen: Addr, { backlog, reusePort }: OpenOptions): ListeningSocket {
    const { made, fd: own } = this.#kernel.opening(
      () => listenNatively(listen, reusePort),
      ({ addr }) => addr,
      ({ close }) => close(),
    );
    try {
      if (own === undefined) throw new Error("The new socket is not among those of this process");
      const fd = this.#kernel.duplicate(own, STDIO);
      this.#kernel.disableDeferAccept(fd);
      if (backlog !== undefined) this.#kernel.setBacklog(fd, backlog);
      const addr = listen.transport === "unix" ? listen : this.#kernel.addressOf(fd)!;
      return { fd, addr };
    } finally {
      // Before the event loop turns: nothing has been accepted on it.
      made.close();
    }
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
    // A server that had its number may have closed it, and something else have it by now.
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
   * Deno and Bun move descriptors to their new numbers one by one: one that is itself such a number
   * would be overwritten before it is its turn. And Deno makes the sockets block, for the sake of the
   * program: an `accept` of this process would stop its event loop until the next connection comes.
   */
  withPassable<T>(fds: readonly number[], spawn: (fds: readonly number[]) => T): T {
    const beyond = STDIO + 1 + fds.length;
    const duplicates = fds.map((fd) => this.#kernel.duplicate(fd, beyond));
    try {
      return spawn(duplicates);
    } finally {
      for (const fd of duplicates) {
        this.#kernel.setNonblocking(fd);
        this.#kernel.close(fd);
      }
    }
  }
}

/**
 * Of what it inherits from another Deno, Deno makes itself a second descriptor, for `node:fs` to use
 * and to close. A listening socket would go on to listen with that.
 */
function closeDuplicate(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // It was not Deno that started this process.
  }
}

/** A listener of the runtime's own. */
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
  // Bun wants to know what becomes of the data of connections, of which there will be none.
  const listener = bun().listen({ ...where, socket: { data() {} } });
  const addr = listen.transport === "unix" ? listen : { ...listen, port: listener.port };
  return { addr, close: () => listener.stop(true) };
}
