/**
 * The kernel's view of a server's sockets, which `Bun.serve` does not show: read with `bun:ffi`,
 * on Linux. It costs nothing until it is asked.
 */
import { readdirSync } from "node:fs";
import process from "node:process";
import type { Addr } from "../conn.ts";

/** What is used of the C library. */
interface LibC {
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, size: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, size: number): number;
  getsockname(fd: number, addr: Uint8Array, size: Uint8Array): number;
  getpeername(fd: number, addr: Uint8Array, size: Uint8Array): number;
  shutdown(fd: number, how: number): number;
  listen(fd: number, backlog: number): number;
  open(path: Uint8Array, flags: number): number;
  dup2(from: number, to: number): number;
  close(fd: number): number;
}

/** What is used of `bun:ffi`. */
interface BunFFI {
  dlopen(
    library: string,
    symbols: Record<string, { args: readonly string[]; returns: string }>,
  ): { symbols: LibC };
}

/** A connection as the kernel has it. */
export interface KernelConn {
  readonly fd: number;
  readonly remoteAddr: Addr;
  /** Nothing has been received on it. */
  readonly silent: boolean;
  /** Milliseconds since something was received, or since it was accepted. */
  readonly silentFor: number;
}

// The numbers of Linux, the same on every processor that Bun runs on.
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const IPPROTO_TCP = 6;
const TCP_DEFER_ACCEPT = 9;
const TCP_INFO = 11;
const TCP_ESTABLISHED = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SHUT_RDWR = 2;
const O_RDWR = 2;
/** Where `struct tcp_info` has its fields. */
const INFO_STATE = 0;
const INFO_LAST_DATA_RECV = 52;
const INFO_BYTES_RECEIVED = 128;
const INFO_SIZE = 136;

const size = (bytes: number): Uint8Array => new Uint8Array(Uint32Array.of(bytes).buffer);

/** The sockets of this process, or undefined where they cannot be looked at. */
export function openKernelSockets(): KernelSockets | undefined {
  if (process.platform !== "linux") return undefined;
  // The cast: the types of node do not know Bun's modules.
  const ffi = process.getBuiltinModule("bun:ffi" as "fs") as unknown as BunFFI | undefined;
  if (ffi === undefined) return undefined;
  const libc = loadLibC(ffi);
  return libc && new KernelSockets(libc);
}

function loadLibC({ dlopen }: BunFFI): LibC | undefined {
  const socketCall = { args: ["i32", "ptr", "ptr"], returns: "i32" };
  const symbols = {
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    getsockname: socketCall,
    getpeername: socketCall,
    shutdown: { args: ["i32", "i32"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
    open: { args: ["ptr", "i32"], returns: "i32" },
    dup2: { args: ["i32", "i32"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
  };
  // The first name is glibc's, the others are musl's.
  for (const name of ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]) {
    try {
      return dlopen(name, symbols).symbols;
    } catch {
      // The next name; without any of them the caller does without.
    }
  }
  return undefined;
}

/** Finds sockets among the process's descriptors, and acts on them. */
export class KernelSockets {
  readonly #libc: LibC;

  constructor(libc: LibC) {
    this.#libc = libc;
  }

  /** The descriptors that listen. */
  listening(): Set<number> {
    const value = new Uint8Array(4);
    return new Set(
      descriptors().filter((fd) =>
        this.#libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, size(4)) === 0 && value[0] === 1
      ),
    );
  }

  /** Has the kernel show a connection at once, not only with its first bytes. */
  acceptAtOnce(listener: number): boolean {
    return this.#libc.setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, size(0), 4) === 0;
  }

  setBacklog(listener: number, backlog: number): boolean {
    return this.#libc.listen(listener, backlog) === 0;
  }

  /**
   * Closes the listening socket, and leaves at its number a descriptor that its owner can close in
   * turn: nothing is accepted any more, and the owner does not know.
   */
  closeBehindItsOwner(listener: number): boolean {
    const nothing = this.#libc.open(new TextEncoder().encode("/dev/null\0"), O_RDWR);
    if (nothing < 0) return false;
    const done = this.#libc.dup2(nothing, listener) === listener;
    this.#libc.close(nothing);
    return done;
  }

  /** The TCP connections accepted at a port of this machine. */
  connections(port: number): KernelConn[] {
    return descriptors().flatMap((fd) => this.#connection(fd, port) ?? []);
  }

  /** Ends a connection as its client would see it end. */
  shutdown(fd: number): void {
    this.#libc.shutdown(fd, SHUT_RDWR);
  }

  #connection(fd: number, port: number): KernelConn | undefined {
    const name = new Uint8Array(28);
    if (this.#libc.getsockname(fd, name, size(28)) !== 0 || portOf(name) !== port) return undefined;
    const info = new Uint8Array(INFO_SIZE);
    if (this.#libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, size(INFO_SIZE)) !== 0) {
      return undefined;
    }
    if (info[INFO_STATE] !== TCP_ESTABLISHED) return undefined;
    if (this.#libc.getpeername(fd, name, size(28)) !== 0) return undefined;
    const view = new DataView(info.buffer);
    return {
      fd,
      remoteAddr: { transport: "tcp", hostname: hostOf(name), port: portOf(name) },
      silent: view.getBigUint64(INFO_BYTES_RECEIVED, true) === 0n,
      silentFor: view.getUint32(INFO_LAST_DATA_RECV, true),
    };
  }
}

/** All of them: the calls above fail on one that is no socket. */
function descriptors(): number[] {
  return readdirSync("/proc/self/fd").map(Number);
}

/** Of a `struct sockaddr_in` or `sockaddr_in6`; 0 for another family. */
function portOf(name: Uint8Array): number {
  const family = new DataView(name.buffer).getUint16(0, true);
  if (family !== AF_INET && family !== AF_INET6) return 0;
  return new DataView(name.buffer).getUint16(2);
}

function hostOf(name: Uint8Array): string {
  const view = new DataView(name.buffer);
  if (view.getUint16(0, true) === AF_INET) return name.subarray(4, 8).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16));
  // The URL parser knows how to write an IPv6 address short.
  const short = new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
  return short.replace(/^::ffff:([0-9a-f]+):([0-9a-f]+)$/, () => name.subarray(20, 24).join("."));
}
