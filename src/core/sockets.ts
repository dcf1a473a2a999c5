/** The operations on listening sockets that a handover needs, the same on every runtime. */
import type { Addr } from "./addr.ts";

/** A listening socket on which no server accepts. */
export interface ListeningSocket {
  readonly fd: number;
  readonly addr: Addr;
}

/** The options of opening a listening socket, in addition to its address. */
export interface OpenOptions {
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
}

/** The operations of a runtime on the descriptors of listening sockets. */
export interface Sockets {
  /** Opens a listening socket. If that fails, throws or rejects as `listen` does, and leaves nothing open. */
  open(listen: Addr, options: OpenOptions): ListeningSocket | Promise<ListeningSocket>;
  /**
   * Makes sockets that {@linkcode Sockets.open} has opened listen, in a process that accepts nothing itself:
   * connections wait in the accept queue. From then on {@linkcode Sockets.close} closes the sockets.
   */
  startListening(sockets: readonly ListeningSocket[], backlog: number): void | Promise<void>;
  /** Returns the address that a listening socket is bound to. Returns undefined for any other descriptor. */
  addressOf(fd: number): Addr | undefined;
  /** Returns whether the descriptor is a stream socket that listens at the address. */
  listensAt(fd: number, addr: Addr): boolean;
  /** Returns whether the descriptor is one end of a pipe that can be written to. */
  isPipe(fd: number): boolean;
  /** Returns whether the descriptor still belongs to a socket that was opened or inherited. */
  isOpen(fd: number): boolean;
  /**
   * Returns the descriptor, for a server of another library. Call this method before such a server gets a
   * descriptor that was opened here.
   *
   * @throws {UpgradeError} If the descriptor would be closed twice.
   */
  lend(fd: number): number;
  /** Closes a descriptor on which no server accepts. */
  close(fd: number): void;
  /**
   * Keeps an inherited descriptor from programs that this process starts for other reasons than a handover.
   * Call this method for each inherited descriptor.
   */
  closeOnExec(fd: number): void;
  /** Writes to an inherited pipe, and closes the pipe. Returns false if the other end of the pipe is gone. */
  writeAndClose(pipe: number, text: string): boolean;
  /**
   * Calls `spawn`, which starts a program, with other descriptors of the same sockets. The program may
   * get these descriptors under any number.
   */
  withPassable<T>(fds: readonly number[], spawn: (fds: readonly number[]) => T): T;
  /**
   * Calls `spawn`, which starts a shell, with other descriptors of the same sockets. The shell inherits these
   * descriptors under the same numbers. Present only on Deno, where {@linkcode Sockets.withPassable} makes a
   * socket blocking for a moment: a process that accepts on the socket would stop meanwhile.
   */
  withInheritable?<T>(fds: readonly number[], spawn: (numbers: readonly number[]) => T): T;
  /**
   * Has the kernel spread new connections at random over some of the sockets that share the port of the socket `fd`
   * with SO_REUSEPORT. `places` are the places of these sockets in the order in which the sockets have begun to listen.
   * Returns false if the kernel refuses. Undefined where this runtime cannot control the kernel's choice.
   */
  readonly spreadOver: ((fd: number, places: readonly number[]) => boolean) | undefined;
  /**
   * The steering of new connections. Undefined where this runtime cannot control which socket of a port
   * gets them.
   */
  readonly steering: Steering | undefined;
}

/** The choice of which socket gets new connections, among the sockets that share a port with SO_REUSEPORT. */
export interface Steering {
  /**
   * Steers new connections to the socket that joined the port last. Returns false if the kernel refuses.
   */
  steerTo(socket: ListeningSocket): boolean;
  /** Leaves the choice of the socket to the kernel again. */
  stop(fd: number): void;
  /** Returns the number of connections in the accept queue of a socket. */
  acceptQueue(fd: number): number;
}
