import { rmSync } from "node:fs";
import type { Addr } from "../../core/addr.ts";
import { UpgradeError } from "../../core/errors.ts";
import { type KernelSockets, openKernelSockets } from "./kernel_sockets.ts";
import { sparePath } from "../../core/spare_path.ts";

/** Thrown where a runtime's own listener cannot be made to accept on another socket. */
export class CannotReplaceListenerError extends UpgradeError {}

/**
 * A throwaway listener of the runtime, at an address that nobody knows. The inherited socket later
 * replaces it under the same descriptor: the runtime cannot be told to listen on a descriptor.
 */
export class PlaceholderListener<T> {
  readonly listener: T;
  readonly #kernel: KernelSockets;
  readonly #fd: number;

  /**
   * `listen` opens the listener at an address, `addressOf` tells where the listener is then, and `close`
   * undoes it where a listener cannot be replaced.
   */
  constructor(
    socket: Addr,
    listen: (where: Addr) => T,
    addressOf: (listener: T, where: Addr) => Addr,
    close: (listener: T) => void,
  ) {
    const kernel = openKernelSockets();
    if (kernel === undefined) {
      throw new CannotReplaceListenerError("The kernel cannot be asked for sockets");
    }
    const where = placeFor(socket);
    const { made, fd } = kernel.opening(
      () => hold(where, listen),
      (listener) => addressOf(listener, where),
      close,
    );
    if (where.transport === "unix") rmSync(where.path, { force: true });
    if (fd === undefined || !kernel.canReplaceListener(fd)) {
      close(made);
      throw new CannotReplaceListenerError(
        "The runtime's event loop does not wait for its listener by epoll",
      );
    }
    this.listener = made;
    this.#kernel = kernel;
    this.#fd = fd;
  }

  /** Closes the listener and nothing else, which the runtime cannot do. Returns false if that fails. */
  closeListener(): boolean {
    return this.#kernel.closingUnnoticed(this.#fd)();
  }

  /** Has the listener accept on this socket from now on. Returns the socket's new descriptor. */
  replaceListener(fd: number): number {
    if (this.#kernel.replaceListener(fd, this.#fd)) return this.#fd;
    throw new CannotReplaceListenerError(
      `Cannot accept on the descriptor ${fd}: the kernel refuses`,
    );
  }
}

function hold<T>(where: Addr, listen: (where: Addr) => T): T {
  try {
    return listen(where);
  } catch (cause) {
    throw new CannotReplaceListenerError("The place of the socket cannot be held", { cause });
  }
}

/** Returns an address of the same transport, on which the addresses of clients depend. */
function placeFor(socket: Addr): Addr {
  return socket.transport === "unix"
    ? { transport: "unix", path: sparePath(socket.path) }
    : { transport: "tcp", hostname: "127.0.0.1", port: 0 };
}
