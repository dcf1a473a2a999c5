import { rmSync } from "node:fs";
import type { Addr } from "../../core/addr.ts";
import { UpgradeError } from "../../core/errors.ts";
import { type KernelSockets, openKernelSockets } from "./kernel_sockets.ts";
import { sparePath } from "../../core/spare_path.ts";

/** The error of a runtime's own listener that cannot be made to accept on another socket. */
export class CannotReplaceListenerError extends UpgradeError {}

/** The number of standard descriptors, which precede all other descriptors. */
const STDIO = 3;

const NO_LIBRARY =
  "Cannot accept on an existing socket: the C library cannot be called. That needs Linux, " +
  "and --allow-ffi on Deno";

/**
 * A throwaway listener of the runtime, at an address that nobody knows. The socket to accept on later
 * replaces the socket of this listener under the same descriptor, because the runtime cannot listen on a
 * given descriptor.
 */
export class PlaceholderListener<T> {
  readonly listener: T;
  readonly #kernel: KernelSockets;
  readonly #fd: number;

  /**
   * Opens a placeholder for a socket with the address `socket`. `listen` opens a listener at an address,
   * `addressOf` returns the address that the listener then has, and `close` closes a listener that cannot
   * be used.
   *
   * @throws {CannotReplaceListenerError} If no listener can be opened, found or replaced.
   */
  constructor(
    socket: Addr,
    listen: (where: Addr) => T,
    addressOf: (listener: T, where: Addr) => Addr,
    close: (listener: T) => void,
  ) {
    const kernel = openKernelSockets();
    if (kernel === undefined) {
      throw new CannotReplaceListenerError(
        NO_LIBRARY,
      );
    }
    const where = placeFor(socket);
    const { made, fd } = kernel.opening(
      () => openAt(where, listen),
      (listener) => addressOf(listener, where),
      close,
    );
    if (where.transport === "unix") rmSync(where.path, { force: true });
    if (fd === undefined || !kernel.canReplaceListener(fd)) {
      close(made);
      throw new CannotReplaceListenerError(
        "Cannot accept on an existing socket: the runtime does not watch its own listener with epoll",
      );
    }
    this.listener = made;
    this.#kernel = kernel;
    this.#fd = fd;
  }

  /**
   * Closes only the listener, and leaves the connections open, which the runtime itself cannot do. Returns
   * false if the listener cannot be closed.
   */
  closeListener(): boolean {
    return this.#kernel.closingUnnoticed(this.#fd)();
  }

  /**
   * Makes the listener accept on the socket of another listener of this process, which keeps accepting as
   * well. `fd` is the descriptor of the other listener. Returns the new descriptor of the socket.
   *
   * @throws {CannotReplaceListenerError} If the kernel refuses.
   */
  acceptBeside(fd: number): number {
    const duplicate = this.#kernel.duplicate(fd, STDIO);
    try {
      return this.replaceListener(duplicate);
    } catch (error) {
      this.#kernel.close(duplicate);
      throw error;
    }
  }

  /**
   * Makes the listener accept on the socket `fd` from now on. Returns the new descriptor of that socket.
   *
   * @throws {CannotReplaceListenerError} If the kernel refuses.
   */
  replaceListener(fd: number): number {
    if (this.#kernel.replaceListener(fd, this.#fd)) return this.#fd;
    throw new CannotReplaceListenerError(
      `Cannot accept on the descriptor ${fd}: the kernel refuses`,
    );
  }
}

/**
 * Returns the descriptor of the only socket of this process that listens at an address.
 *
 * @throws {CannotReplaceListenerError} If the C library cannot be called, or if there are several sockets.
 */
export function soleListenerAt(addr: Addr): number {
  const found = openKernelSockets()?.listeningAt(addr);
  const [fd] = found ?? [];
  if (fd !== undefined && found?.length === 1) return fd;
  throw new CannotReplaceListenerError(
    found === undefined ? NO_LIBRARY : "Cannot tell which of several sockets is the server's",
  );
}

function openAt<T>(where: Addr, listen: (where: Addr) => T): T {
  try {
    return listen(where);
  } catch (cause) {
    throw new CannotReplaceListenerError(
      "Cannot accept on an existing socket: the runtime cannot open a listener to replace",
      { cause },
    );
  }
}

/**
 * Returns an address for the placeholder, with the transport of the socket: the runtime reports the addresses
 * of clients according to the transport of its own listener.
 */
function placeFor(socket: Addr): Addr {
  return socket.transport === "unix"
    ? { transport: "unix", path: sparePath(socket.path) }
    : { transport: "tcp", hostname: "127.0.0.1", port: 0 };
}
