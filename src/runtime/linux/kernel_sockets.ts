/**
 * The kernel's view of a process's sockets, which `Bun.serve` and Deno do not show: read with the C
 * library, on Linux. It costs nothing until it is asked.
 */
import { isIP } from "node:net";
import { type Addr, isUnspecified, sameAddr } from "../../core/addr.ts";
import { register, registrationsOf, unregister } from "./epoll.ts";
import { type LibC, openLibC } from "./libc.ts";
import { descriptors } from "./proc_files.ts";
import type { Steering } from "../../core/sockets.ts";
import { acceptQueue, holdBackHandshakes, steerTo, stopSteering } from "./steering.ts";

/** A connection as the kernel has it. */
export interface KernelConn {
  readonly fd: number;
  /** The cookie, which tells the socket from every other one for as long as the machine runs. */
  readonly cookie: bigint;
  /** The label of the listener that it came from, see {@linkcode KernelSockets.label}. */
  readonly label: number | undefined;
  readonly remoteAddr: Addr;
  /** Whether nothing has been received on the connection. For a unix socket the kernel does not tell. */
  readonly silent: boolean;
  /** Milliseconds since something was received, or since the connection was accepted. */
  readonly silentFor: number;
}

// The numbers of Linux, the same on every processor that Bun and Deno run on.
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_KEEPALIVE = 9;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const SO_COOKIE = 57;
const IPPROTO_TCP = 6;
const TCP_KEEPIDLE = 4;
const MAX_TCP_KEEPIDLE = 32767;
const TCP_DEFER_ACCEPT = 9;
const TCP_INFO = 11;
const TCP_ESTABLISHED = 1;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SHUT_RDWR = 2;
const MSG_NOSIGNAL = 0x4000;
const SOCK_STREAM = 1;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;
/** The offsets of fields in `struct tcp_info`. */
const INFO_STATE = 0;
const INFO_LAST_DATA_RECV = 52;
const INFO_BYTES_RECEIVED = 128;
const INFO_SIZE = 136;

/** The number of attempts to open a listener while another thread opens one beside it. */
const OPEN_ATTEMPTS = 10;

/** The size of the largest address, that of a unix socket. */
const NAME_SIZE = 110;

const size = (bytes: number): Uint8Array => new Uint8Array(Uint32Array.of(bytes).buffer);

/** Returns the sockets of this process, or undefined where they cannot be looked at. */
export function openKernelSockets(): KernelSockets | undefined {
  const libc = openLibC();
  return libc && new KernelSockets(libc);
}

/** Finds sockets among the process's descriptors, and acts on them. */
export class KernelSockets {
  readonly steering: Steering;
  readonly #libc: LibC;
  #unlabeled: number | undefined;

  constructor(libc: LibC) {
    this.#libc = libc;
    this.steering = {
      steerTo: ({ fd, addr }) => steerTo(libc, fd, addr),
      stop: (fd) => stopSteering(libc, fd),
      acceptQueue: (fd) => acceptQueue(libc, fd) ?? 0,
    };
  }

  /** The descriptors that listen for streams. */
  listening(): Set<number> {
    return new Set(
      descriptors(this.#libc).filter((fd) =>
        this.#option(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1 &&
        this.#option(fd, SOL_SOCKET, SO_TYPE) === SOCK_STREAM
      ),
    );
  }

  /** Whether a descriptor is what the runtimes make for a pipe: one of two unix sockets, connected. */
  isPipe(fd: number): boolean {
    return this.#option(fd, SOL_SOCKET, SO_DOMAIN) === AF_UNIX &&
      this.#option(fd, SOL_SOCKET, SO_TYPE) === SOCK_STREAM &&
      this.#libc.getpeername(fd, new Uint8Array(NAME_SIZE), size(NAME_SIZE)) === 0;
  }

  /** The descriptors that listen at an address: of the whole process, workers included. */
  listeningAt(addr: Addr): number[] {
    return [...this.listening()].filter((fd) => {
      const bound = this.addressOf(fd);
      return bound !== undefined && isAt(bound, addr);
    });
  }

  /** Returns how many connections wait for a listener to accept them; undefined for a unix socket. */
  waitingToBeAccepted(listener: number): number | undefined {
    return acceptQueue(this.#libc, listener);
  }

  /** Has the kernel ignore new handshakes with a listener. Returns what undoes that. */
  holdBackHandshakes(listener: number): () => void {
    return holdBackHandshakes(this.#libc, listener);
  }

  /**
   * The sockets that listen at an address, by their cookies: two descriptors may be one socket. With
   * SO_REUSEPORT they can be several, and of several threads, which share the descriptors.
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

  /** Returns the cookie of a socket, which no other socket has; 0 for anything else. */
  cookieOf(fd: number): bigint {
    const value = new Uint8Array(8);
    if (this.#libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, value, size(8)) !== 0) return 0n;
    return new DataView(value.buffer).getBigUint64(0, true);
  }

  /**
   * Gives a listener of TCP a number that each connection inherits from it, so that those of one listener
   * can be told from those of another at the same address. The number is its TCP_KEEPIDLE, some seconds
   * more than the two hours of the system: it means nothing as long as SO_KEEPALIVE is off. Returns the
   * label, which the listener may have had before, or undefined if it cannot have one.
   */
  label(listener: number): number | undefined {
    if (this.#option(listener, SOL_SOCKET, SO_KEEPALIVE) !== 0) return undefined;
    const label = this.labelOf(listener);
    if (label !== undefined) return label;
    const least = this.#keepIdle() + 1;
    if (least > MAX_TCP_KEEPIDLE) return undefined;
    const chosen = least + Math.floor(Math.random() * (MAX_TCP_KEEPIDLE - least + 1));
    this.#libc.setsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, size(chosen), 4);
    return this.labelOf(listener);
  }

  /** The label of a listener or of a connection. */
  labelOf(fd: number): number | undefined {
    const value = this.#option(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    return value === this.#keepIdle() ? undefined : value;
  }

  /** The value of the option on a TCP socket that nobody has labeled. */
  #keepIdle(): number {
    if (this.#unlabeled === undefined) {
      const fd = this.#libc.socket(AF_INET, SOCK_STREAM | O_CLOEXEC, 0);
      this.#unlabeled = this.#option(fd, IPPROTO_TCP, TCP_KEEPIDLE) ?? MAX_TCP_KEEPIDLE;
      this.#libc.close(fd);
    }
    return this.#unlabeled;
  }

  #option(fd: number, level: number, name: number): number | undefined {
    const value = new Uint8Array(4);
    if (this.#libc.getsockopt(fd, level, name, value, size(4)) !== 0) return undefined;
    return new DataView(value.buffer).getInt32(0, true);
  }

  /**
   * Runs what opens a listener, and finds the descriptor that it has opened, at the address that
   * `addressOf` tells. Threads share their descriptors: if another has opened a listener at the same
   * address meanwhile, this one is closed, and opened once more.
   */
  opening<T>(
    open: () => T,
    addressOf: (made: T) => Addr,
    close: (made: T) => void,
  ): { made: T; fd: number | undefined } {
    for (let attempt = 1;; attempt++) {
      const before = new Set(this.#listeners().keys());
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

  /** The listening sockets of the process, by their cookies: a number may be another's soon. */
  #listeners(): Map<bigint, number> {
    return new Map([...this.listening()].map((fd) => [this.cookieOf(fd), fd]));
  }

  /** Reports whether {@linkcode KernelSockets.replaceListener} can work on a listener of the runtime. */
  canReplaceListener(listener: number): boolean {
    return registrationsOf(this.#libc, listener).length > 0;
  }

  /** Has the kernel show a connection at once, not only with its first bytes. */
  disableDeferAccept(listener: number): boolean {
    return this.#libc.setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, size(0), 4) === 0;
  }

  setBacklog(listener: number, backlog: number): boolean {
    return this.#libc.listen(listener, backlog) === 0;
  }

  /**
   * Closes the listening socket, and leaves at its number one that nobody connects to: nothing is
   * accepted any more, and the owner, which may be about to try, does not know.
   */
  closeUnnoticed(listener: number): boolean {
    return this.closingUnnoticed(listener)();
  }

  /**
   * Returns what closes the listening socket as {@linkcode KernelSockets.closeUnnoticed} does, with what
   * takes long already done: a connection that comes between the last look at the accept queue and the
   * close is reset.
   */
  closingUnnoticed(listener: number): () => boolean {
    const deserted = this.#listenForNobody();
    const registrations = registrationsOf(this.#libc, listener);
    return () => {
      if (deserted < 0) return false;
      unregister(this.#libc, listener, registrations);
      const done = this.#libc.dup3(deserted, listener, O_CLOEXEC) === listener;
      this.#libc.close(deserted);
      return done;
    };
  }

  /** Returns a socket that listens at an address which the kernel makes up, without a file. */
  #listenForNobody(): number {
    const fd = this.#libc.socket(AF_UNIX, SOCK_STREAM | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0) return fd;
    const family = new Uint8Array(Uint16Array.of(AF_UNIX).buffer);
    if (this.#libc.bind(fd, family, family.length) === 0 && this.#libc.listen(fd, 1) === 0) {
      return fd;
    }
    this.#libc.close(fd);
    return -1;
  }

  /**
   * Puts a listening socket in the place of the one that a runtime listens on, which is closed: from
   * now on it accepts from this one, at the speed it has. The number `fd` is closed as well. False
   * if the kernel refuses.
   */
  replaceListener(fd: number, listener: number): boolean {
    const registrations = registrationsOf(this.#libc, listener);
    this.setNonblocking(fd);
    if (this.#libc.dup3(fd, listener, O_CLOEXEC) !== listener) return false;
    this.#libc.close(fd);
    return register(this.#libc, listener, registrations);
  }

  /**
   * Another descriptor of the same socket, of at least this number, which no program that this one
   * starts inherits.
   */
  duplicate(fd: number, least: number): number {
    return this.#libc.fcntl(fd, F_DUPFD_CLOEXEC, least);
  }

  /** Writes to a descriptor. Returns false if the other end is gone. */
  send(fd: number, text: string): boolean {
    const bytes = new TextEncoder().encode(text);
    return this.#libc.send(fd, bytes, bytes.length, MSG_NOSIGNAL) === bytes.length;
  }

  close(fd: number): void {
    this.#libc.close(fd);
  }

  /** Keeps an inherited descriptor from the programs that this process starts. */
  setCloseOnExec(fd: number): void {
    this.#libc.fcntl(fd, F_SETFD, FD_CLOEXEC);
  }

  /** The flag belongs to the socket, and so to every process that has it. */
  setNonblocking(fd: number): void {
    this.#libc.fcntl(fd, F_SETFL, this.#libc.fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  }

  /** The address that a socket is bound to, or undefined if it is no socket, or of another family. */
  addressOf(fd: number): Addr | undefined {
    const name = new Uint8Array(NAME_SIZE);
    if (this.#libc.getsockname(fd, name, size(NAME_SIZE)) !== 0) return undefined;
    if (familyOf(name) === AF_UNIX) return { transport: "unix", path: pathOf(name) };
    if (familyOf(name) !== AF_INET && familyOf(name) !== AF_INET6) return undefined;
    return { transport: "tcp", hostname: hostOf(name), port: portOf(name) };
  }

  /** The connections of this process that a listener at an address has accepted. */
  connections(listener: Addr): KernelConn[] {
    const at = listener.transport === "tcp"
      ? (fd: number) => this.#tcpConnection(fd, listener)
      : (fd: number) => this.#unixConnection(fd, listener);
    return descriptors(this.#libc).flatMap((fd) => at(fd) ?? []);
  }

  /** Ends a connection as its client would see it end. */
  shutdown(fd: number): void {
    this.#libc.shutdown(fd, SHUT_RDWR);
  }

  #tcpConnection(fd: number, listener: Addr & { transport: "tcp" }): KernelConn | undefined {
    const name = new Uint8Array(28);
    if (this.#libc.getsockname(fd, name, size(28)) !== 0) return undefined;
    // The port first: this is done for each descriptor, at each poll.
    const port = portOf(name);
    if (port !== listener.port) return undefined;
    if (!isAt({ transport: "tcp", hostname: hostOf(name), port }, listener)) return undefined;
    const info = new Uint8Array(INFO_SIZE);
    if (this.#libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, size(INFO_SIZE)) !== 0) {
      return undefined;
    }
    if (info[INFO_STATE] !== TCP_ESTABLISHED) return undefined;
    if (this.#libc.getpeername(fd, name, size(28)) !== 0) return undefined;
    const view = new DataView(info.buffer);
    return {
      fd,
      cookie: this.cookieOf(fd),
      label: this.labelOf(fd),
      remoteAddr: { transport: "tcp", hostname: hostOf(name), port: portOf(name) },
      silent: view.getBigUint64(INFO_BYTES_RECEIVED, true) === 0n,
      silentFor: view.getUint32(INFO_LAST_DATA_RECV, true),
    };
  }

  /**
   * Returns a connection of a unix listener: an accepted socket has the name of its listener, and a peer.
   */
  #unixConnection(fd: number, { path }: Addr & { transport: "unix" }): KernelConn | undefined {
    const name = new Uint8Array(NAME_SIZE);
    if (this.#libc.getsockname(fd, name, size(NAME_SIZE)) !== 0) return undefined;
    if (familyOf(name) !== AF_UNIX || pathOf(name) !== path) return undefined;
    if (this.#libc.getpeername(fd, name, size(NAME_SIZE)) !== 0) return undefined;
    return {
      fd,
      cookie: this.cookieOf(fd),
      label: undefined,
      remoteAddr: { transport: "unix", path: "" },
      silent: false,
      silentFor: 0,
    };
  }
}

/**
 * Whether a socket with a local address is that of a listener, or was accepted by it. Another listener
 * may have the same port of another address.
 */
export function isAt(local: Addr, listener: Addr): boolean {
  if (local.transport === "unix" || listener.transport === "unix") {
    return sameAddr(local, listener);
  }
  const { hostname, port } = listener;
  const isAny = isUnspecified(hostname) || isIP(hostname) === 0;
  return local.port === port && (isAny || local.hostname === hostname);
}

/** Whether a listener can be the one that was opened at an address. A runtime may tell its host otherwise. */
function isOpenedAt(bound: Addr | undefined, addr: Addr): boolean {
  return bound?.transport === "tcp" && addr.transport === "tcp"
    ? bound.port === addr.port
    : bound?.transport === "unix" && addr.transport === "unix" && bound.path === addr.path;
}

function familyOf(name: Uint8Array): number {
  return new DataView(name.buffer).getUint16(0, true);
}

/** Returns the port of a `struct sockaddr_in` or `sockaddr_in6`; 0 for another family. */
function portOf(name: Uint8Array): number {
  const family = familyOf(name);
  if (family !== AF_INET && family !== AF_INET6) return 0;
  return new DataView(name.buffer).getUint16(2);
}

/** Returns the path of a `struct sockaddr_un`. */
function pathOf(name: Uint8Array): string {
  return new TextDecoder().decode(name.subarray(2, name.indexOf(0, 2)));
}

function hostOf(name: Uint8Array): string {
  const view = new DataView(name.buffer);
  if (familyOf(name) === AF_INET) return name.subarray(4, 8).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16));
  // The URL parser knows how to write an IPv6 address short.
  const short = new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
  return short.replace(/^::ffff:([0-9a-f]+):([0-9a-f]+)$/, () => name.subarray(20, 24).join("."));
}
