/**
 * The kernel's view of a process's sockets, which `Bun.serve` and Deno do not show. The C library of Linux
 * reads it. It costs nothing until it is used.
 */
import type { Addr } from "../../core/addr.ts";
import type { Steering } from "../../core/sockets.ts";
import { AcceptedSockets } from "./accepted_sockets.ts";
import { epollsOf, registrationsOf } from "./epoll.ts";
import {
  AF_UNIX,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  O_NONBLOCK,
  SHUT_RD,
  SHUT_RDWR,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
} from "./headers.ts";
import { connectionsAt, findConnection, type KernelConn } from "./kernel_conn.ts";
import { type LibC, openLibC } from "./libc.ts";
import { ListenerLabels } from "./listener_labels.ts";
import { closingUnnoticed, replaceListener } from "./listener_replacement.ts";
import { descriptors } from "./proc_files.ts";
import { canRefuseHandshakes, refuseHandshakes } from "./refused_handshakes.ts";
import { addrIn, isAt, NAME_SIZE } from "./sockaddr.ts";
import { canDiagnose, type Handshake, handshakesAt, lookAgain } from "./socket_diagnosis.ts";
import { cookieOf, intOption, setIntOption, uint32 } from "./socket_options.ts";
import {
  acceptQueue,
  countListening,
  holdBackHandshakes,
  migrates,
  spreadOver,
  steerTo,
  stopSteering,
} from "./steering.ts";
import { type Traffic, TrafficReader } from "./traffic.ts";

/** The number of attempts to open a listener while another thread opens one beside it. */
const OPEN_ATTEMPTS = 10;

/** Returns the sockets of this process, or undefined where the C library cannot be called. */
export function openKernelSockets(): KernelSockets | undefined {
  const libc = openLibC();
  return libc && new KernelSockets(libc);
}

/** A listening socket. Once the socket has closed, its descriptor may be reused, but its cookie is not. */
export interface ListeningSocket {
  readonly fd: number;
  readonly cookie: bigint;
}

/**
 * Opens a listener, and finds its socket as {@linkcode KernelSockets.opening} finds its descriptor. The socket is
 * undefined where the C library cannot be called.
 */
export function openListenerKnown<T>(
  open: () => T,
  addressOf: (made: T) => Addr,
  close: (made: T) => void,
): { made: T; socket: ListeningSocket | undefined } {
  const kernel = openKernelSockets();
  if (kernel === undefined) return { made: open(), socket: undefined };
  const { made, fd } = kernel.opening(open, addressOf, close);
  return { made, socket: fd === undefined ? undefined : { fd, cookie: kernel.cookieOf(fd) } };
}

/** Finds sockets among the process's descriptors, and acts on them. */
export class KernelSockets {
  readonly labels: ListenerLabels;
  readonly steering: Steering;
  readonly #libc: LibC;
  readonly #traffic: TrafficReader;

  constructor(libc: LibC) {
    this.#libc = libc;
    this.#traffic = new TrafficReader(libc);
    this.labels = new ListenerLabels(libc);
    this.steering = {
      steerTo: ({ fd, addr }) => steerTo(libc, fd, addr),
      stop: (fd) => stopSteering(libc, fd),
      acceptQueue: (fd) => acceptQueue(libc, fd) ?? 0,
    };
  }

  /** Returns the descriptors that listen for streams. */
  listening(): Set<number> {
    return new Set(
      descriptors(this.#libc).filter((fd) =>
        intOption(this.#libc, fd, SOL_SOCKET, SO_ACCEPTCONN) === 1 &&
        intOption(this.#libc, fd, SOL_SOCKET, SO_TYPE) === SOCK_STREAM
      ),
    );
  }

  /** Returns whether a descriptor is one of two connected unix sockets, which the runtimes create as a pipe. */
  isPipe(fd: number): boolean {
    return intOption(this.#libc, fd, SOL_SOCKET, SO_DOMAIN) === AF_UNIX &&
      intOption(this.#libc, fd, SOL_SOCKET, SO_TYPE) === SOCK_STREAM &&
      this.#libc.getpeername(fd, new Uint8Array(NAME_SIZE), uint32(NAME_SIZE)) === 0;
  }

  /** Returns the descriptors of the whole process, including its worker threads, that listen at an address. */
  listeningAt(addr: Addr): number[] {
    return [...this.listening()].filter((fd) => {
      const bound = this.addressOf(fd);
      return bound !== undefined && isAt(bound, addr);
    });
  }

  /**
   * Returns the sockets that listen at an address, by their cookies: two descriptors may be one socket. With
   * SO_REUSEPORT there can be several sockets, also of several threads, which share the descriptors.
   */
  listenersAt(addr: Addr): Map<bigint, number> {
    const found = new Map<bigint, number>();
    for (const fd of this.listening()) {
      const bound = this.addressOf(fd);
      if (bound !== undefined && (isAt(bound, addr) || isAt(addr, bound))) {
        found.set(this.cookieOf(fd), fd);
      }
    }
    return found;
  }

  /** Returns how many connections wait for a listener to accept them; undefined for a unix socket. */
  waitingToBeAccepted(listener: number): number | undefined {
    return acceptQueue(this.#libc, listener);
  }

  /** Makes the kernel ignore new handshakes with a listener. Returns a function that undoes this. */
  holdBackHandshakes(listener: number): () => void {
    return holdBackHandshakes(this.#libc, listener);
  }

  /** Reports whether the kernel gives the accept queue of a listener to another socket when the listener closes. */
  migratesQueue(listener: number): boolean {
    const addr = this.addressOf(listener);
    return addr !== undefined && migrates(this.#libc, addr);
  }

  /** Returns whether a descriptor still belongs to a listening socket. */
  isOpen({ fd, cookie }: ListeningSocket): boolean {
    return this.cookieOf(fd) === cookie;
  }

  /**
   * Makes the kernel spread new connections over some of the sockets that share a port with a listener. Returns false
   * if the kernel refuses.
   */
  spreadOver(listener: number, places: readonly number[]): boolean {
    return spreadOver(this.#libc, listener, places);
  }

  /** Returns the cookie of a socket, which no other socket has; 0 for any other descriptor. */
  cookieOf(fd: number): bigint {
    return cookieOf(this.#libc, fd);
  }

  /**
   * Runs `open`, and finds the descriptor of the listener that `open` has opened, at the address that
   * `addressOf` returns. Threads share their descriptors: if another thread has opened a listener at the
   * same address meanwhile, this listener is closed, and opened once more.
   */
  opening<T>(
    open: () => T,
    addressOf: (made: T) => Addr,
    close: (made: T) => void,
  ): { made: T; fd: number | undefined } {
    for (let attempt = 1;; attempt++) {
      const before = this.listenerCookies();
      const made = open();
      const addr = addressOf(made);
      const found = [...this.#listeners()].filter(([cookie, fd]) =>
        !before.has(cookie) && isOpenedAt(this.addressOf(fd), addr)
      );
      const [[, fd] = []] = found;
      if (found.length <= 1 || attempt === OPEN_ATTEMPTS) return { made, fd };
      close(made);
    }
  }

  /** Returns the cookies of the listening sockets of the process. */
  listenerCookies(): Set<bigint> {
    return new Set(this.#listeners().keys());
  }

  /** Returns the listening sockets of the process by their cookies, since a number may be reused. */
  #listeners(): Map<bigint, number> {
    return new Map([...this.listening()].map((fd) => [this.cookieOf(fd), fd]));
  }

  /** Returns whether the kernel withholds a connection of a listener until its first bytes, or for about a second. */
  defersAccept(listener: number): boolean {
    return (intOption(this.#libc, listener, IPPROTO_TCP, TCP_DEFER_ACCEPT) ?? 0) > 0;
  }

  /**
   * Returns whether a listener can be closed without the loss of connections that the kernel withholds: the
   * kernel lists these connections, and can refuse new ones until these have been accepted.
   */
  canTakeInWithheld(listener: number): boolean {
    return canRefuseHandshakes(this.#libc) && canDiagnose(this.#libc, listener);
  }

  /** Returns whether only one socket, of this or another process, listens at a TCP address. */
  hasOneListener(addr: Addr): boolean {
    return countListening(this.#libc, addr) === 1;
  }

  /** Makes the kernel refuse new handshakes with a listener permanently. Returns false if the kernel cannot. */
  refuseHandshakes(listener: number): boolean {
    return refuseHandshakes(this.#libc, listener);
  }

  /**
   * Makes the kernel refuse new handshakes with a listener permanently, and ignore the handshakes that it cannot
   * refuse: those of a port that several listeners share (SO_REUSEPORT), or all of them before Linux 5.7.
   */
  turnAwayHandshakes(listener: number): void {
    this.refuseHandshakes(listener);
    this.holdBackHandshakes(listener);
  }

  /**
   * Returns the unfinished handshakes with the listeners at a TCP address, or undefined if the kernel does not
   * report them.
   */
  handshakesAt(listener: Addr & { transport: "tcp" }): Handshake[] | undefined {
    return handshakesAt(this.#libc, listener);
  }

  /**
   * Returns the current state of those handshakes with the listeners at an address that are still unfinished,
   * or undefined if the kernel does not report it.
   */
  lookAgain(
    listener: Addr & { transport: "tcp" },
    handshakes: readonly Handshake[],
  ): Handshake[] | undefined {
    return lookAgain(this.#libc, listener, handshakes);
  }

  /**
   * Makes the kernel show new connections at once, and not only with their first bytes. Returns false if the
   * kernel refuses.
   */
  disableDeferAccept(listener: number): boolean {
    return setIntOption(this.#libc, listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
  }

  setBacklog(listener: number, backlog: number): boolean {
    return this.#libc.listen(listener, backlog) === 0;
  }

  /** Returns whether {@linkcode KernelSockets.replaceListener} can work on a listener of the runtime. */
  canReplaceListener(listener: number): boolean {
    return registrationsOf(this.#libc, listener).length > 0;
  }

  /**
   * Makes the runtime accept on the listening socket `fd` instead of its own listener, whose socket is
   * closed. The socket of `fd` gets the number of the listener, and the number `fd` is closed. Returns
   * false if the kernel refuses.
   */
  replaceListener(fd: number, listener: number): boolean {
    this.setNonblocking(fd);
    return replaceListener(this.#libc, fd, listener);
  }

  /** Returns the `epoll` instances of this process, one of which watches each listener. */
  epolls(): number[] {
    return epollsOf(this.#libc);
  }

  /**
   * Prepares to close a listener without the runtime noticing, and returns the function that closes it. The
   * function must be called once. Its argument, by default true, says whether the listener is still open.
   * `epolls` are the instances of `epoll` that may watch the listener, by default all of this process.
   */
  closingUnnoticed(listener: number, epolls?: readonly number[]): (isOpen?: boolean) => boolean {
    return closingUnnoticed(this.#libc, listener, epolls);
  }

  /**
   * Returns another descriptor of the same socket, of at least this number. No program that this process
   * starts inherits it.
   */
  duplicate(fd: number, least: number): number {
    return this.#libc.fcntl(fd, F_DUPFD_CLOEXEC, least);
  }

  /** Returns another descriptor of the same socket, which every program inherits that this process starts. */
  duplicateInheritable(fd: number, least: number): number {
    return this.#libc.fcntl(fd, F_DUPFD, least);
  }

  /** Writes to a descriptor. Returns false if the other end is gone. */
  send(fd: number, text: string): boolean {
    return this.sendBytes(fd, new TextEncoder().encode(text));
  }

  /** Writes bytes to a descriptor. Returns false if the other end is gone. */
  sendBytes(fd: number, bytes: Uint8Array): boolean {
    return this.#libc.send(fd, bytes, bytes.length, MSG_NOSIGNAL) === bytes.length;
  }

  close(fd: number): void {
    this.#libc.close(fd);
  }

  /** Keeps an inherited descriptor from the programs that this process starts. */
  setCloseOnExec(fd: number): void {
    this.#libc.fcntl(fd, F_SETFD, FD_CLOEXEC);
  }

  /** Makes a socket nonblocking, for every process that has the socket: the flag belongs to the socket. */
  setNonblocking(fd: number): void {
    this.#libc.fcntl(fd, F_SETFL, this.#libc.fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  }

  /**
   * Returns the address that a socket is bound to. Returns undefined if the descriptor is not a socket, or
   * belongs to another family.
   */
  addressOf(fd: number): Addr | undefined {
    const name = new Uint8Array(NAME_SIZE);
    if (this.#libc.getsockname(fd, name, uint32(NAME_SIZE)) !== 0) return undefined;
    return addrIn(name);
  }

  /** Returns the connections of this process that a listener at an address has accepted. */
  connections(listener: Addr): KernelConn[] {
    return connectionsAt(this.#libc, listener, this.labels);
  }

  /** Returns whether there is a connection that such a listener has accepted and for which `has` returns true. */
  hasConnection(listener: Addr, has: (conn: KernelConn) => boolean): boolean {
    return findConnection(this.#libc, listener, this.labels, has) !== undefined;
  }

  /**
   * Returns the sockets that a listener is going to accept, or undefined if they cannot be distinguished from the
   * other sockets of the process. Must be called in the turn in which the listener opens.
   */
  acceptedBy(listener: number): AcceptedSockets | undefined {
    return AcceptedSockets.of(this.#libc, this.labels, listener);
  }

  /**
   * Returns the traffic on a connection; undefined if the descriptor is not a TCP socket, or if the kernel is
   * too old.
   */
  trafficOf(fd: number): Traffic | undefined {
    return this.#traffic.read(fd);
  }

  /** Returns whether a connection has received data that the runtime has not read yet. */
  hasUnread(fd: number): boolean {
    return this.#libc.recv(fd, new Uint8Array(1), 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }

  /**
   * Makes the runtime see the end of a client's data after the data that has already arrived. Data that arrives
   * before the runtime reads again is still read.
   */
  endReading(fd: number): void {
    this.#libc.shutdown(fd, SHUT_RD);
  }

  /** Shuts a connection down in both directions, so that its client and the runtime see it end. */
  shutdown(fd: number): void {
    this.#libc.shutdown(fd, SHUT_RDWR);
  }
}

/**
 * Returns whether a listener can be the listener that was opened at an address. The runtime may report
 * another host than the kernel.
 */
function isOpenedAt(bound: Addr | undefined, addr: Addr): boolean {
  return bound?.transport === "tcp" && addr.transport === "tcp"
    ? bound.port === addr.port
    : bound?.transport === "unix" && addr.transport === "unix" && bound.path === addr.path;
}
