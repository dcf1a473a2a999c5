/** What the listening sockets of a process are to who hands them on, on every runtime. */
import type { Addr } from "./addr.ts";

/** A listening socket that nothing accepts on. */
export interface ListeningSocket {
  readonly fd: number;
  readonly addr: Addr;
}

/** The options of opening a listening socket, beside its address. */
export interface OpenOptions {
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
}

/** The operations of a runtime on the descriptors of listening sockets. */
export interface Sockets {
  /** Throws or rejects as `listen` does, with nothing left open. */
  open(listen: Addr, options: OpenOptions): ListeningSocket | Promise<ListeningSocket>;
  /** Returns the address that a listening socket is bound to; undefined for another descriptor. */
  addressOf(fd: number): Addr | undefined;
  /** Whether the descriptor is a socket of streams that listens at the address. */
  listensAt(fd: number, addr: Addr): boolean;
  /** Whether the descriptor is one end of a pipe, and can be written to. */
  isPipe(fd: number): boolean;
  /** Whether the descriptor is still that of a socket which was opened or inherited. */
  isOpen(fd: number): boolean;
  /**
   * To be called before a server that somebody else made gets a descriptor that was opened here. Returns it.
   *
   * @throws {UpgradeError} If the descriptor would be closed twice.
   */
  lend(fd: number): number;
  /** Closes one that no server accepts on. */
  close(fd: number): void;
  /**
   * To be called for each inherited descriptor: it is this process's alone from now on, and not that
   * of programs which this one starts for other reasons.
   */
  closeOnExec(fd: number): void;
  /** Writes to an inherited pipe, and closes it. False if its other end is gone. */
  writeAndClose(pipe: number, text: string): boolean;
  /**
   * Calls the function, which starts a program, with descriptors of the same sockets that can be
   * passed as whatever numbers there are.
   */
  withPassable<T>(fds: readonly number[], spawn: (fds: readonly number[]) => T): T;
  /** The steering of connections, where the kernel can be told which socket of a port gets them. */
  readonly steering: Steering | undefined;
}

/** Steering: which of the sockets that share a port with SO_REUSEPORT gets the new connections. */
export interface Steering {
  /**
   * Steers new connections to the socket that joined the port last. Returns false if the kernel refuses.
   */
  steerTo(socket: ListeningSocket): boolean;
  /** Leaves the choice to the kernel again. */
  stop(fd: number): void;
  /** Returns the number of connections in the accept queue of a socket. */
  acceptQueue(fd: number): number;
}
