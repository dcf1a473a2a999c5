/**
 * The C library on Linux, which reports what the kernel knows about sockets and the runtimes do not expose.
 * It is called through `bun:ffi` on Bun, through `Deno.dlopen` on Deno, and through the experimental
 * `node:ffi` on Node 26.1 and later.
 */
import { ofProcess } from "../../core/process_state.ts";
import process from "node:process";
import { deno } from "../api/deno.ts";
import {
  AF_INET,
  F_GETFD,
  F_GETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./headers.ts";

/** The functions of the C library that this package calls. Each function returns a negative number when it fails. */
interface Functions {
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, size: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, size: number): number;
  getsockname(fd: number, addr: Uint8Array, size: Uint8Array): number;
  getpeername(fd: number, addr: Uint8Array, size: Uint8Array): number;
  shutdown(fd: number, how: number): number;
  listen(fd: number, backlog: number): number;
  open(path: Uint8Array, flags: number): number;
  read(fd: number, buffer: Uint8Array, size: number): number;
  readlink(path: Uint8Array, buffer: Uint8Array, size: number): number;
  getdents64(fd: number, buffer: Uint8Array, size: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  dup3(from: number, to: number, flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, addr: Uint8Array, size: number): number;
  connect(fd: number, addr: Uint8Array, size: number): number;
  send(fd: number, buffer: Uint8Array, size: number, flags: number): number;
  recv(fd: number, buffer: Uint8Array, size: number, flags: number): number;
  recvmsg(fd: number, message: Uint8Array, flags: number): number;
  clock_gettime(clock: number, time: Uint8Array): number;
  waitpid(pid: number, status: Uint8Array, options: number): number;
  close(fd: number): number;
}

/** The C library, with the function that makes pointers, which some of its structures contain. */
export interface LibC extends Functions {
  /** Returns the address of a buffer, valid for as long as the caller keeps the buffer. */
  pointer(buffer: Uint8Array): bigint;
}

/** The types of the arguments of each function, named as in `bun:ffi`. Every function returns an `i32`. */
const SIGNATURES: Record<keyof Functions, readonly ("i32" | "u32" | "ptr")[]> = {
  getsockopt: ["i32", "i32", "i32", "ptr", "ptr"],
  setsockopt: ["i32", "i32", "i32", "ptr", "u32"],
  getsockname: ["i32", "ptr", "ptr"],
  getpeername: ["i32", "ptr", "ptr"],
  shutdown: ["i32", "i32"],
  listen: ["i32", "i32"],
  open: ["ptr", "i32"],
  read: ["i32", "ptr", "u32"],
  readlink: ["ptr", "ptr", "u32"],
  getdents64: ["i32", "ptr", "u32"],
  fcntl: ["i32", "i32", "i32"],
  dup3: ["i32", "i32", "i32"],
  epoll_ctl: ["i32", "i32", "i32", "ptr"],
  socket: ["i32", "i32", "i32"],
  bind: ["i32", "ptr", "u32"],
  connect: ["i32", "ptr", "u32"],
  send: ["i32", "ptr", "u32", "i32"],
  recv: ["i32", "ptr", "u32", "i32"],
  recvmsg: ["i32", "ptr", "i32"],
  clock_gettime: ["i32", "ptr"],
  waitpid: ["i32", "ptr", "i32"],
  close: ["i32"],
};

/** The file names of the C library: the first is glibc's, the others are musl's. */
export const LIBRARIES: readonly string[] = [
  "libc.so.6",
  "libc.musl-x86_64.so.1",
  "libc.musl-aarch64.so.1",
];

/**
 * The processors whose numbers and structures are known to be those in this folder: both have 64 bits, and the least
 * significant byte first.
 */
const PROCESSORS: readonly string[] = ["x64", "arm64"];

/** The functions of a library by the names that they have there. */
type Symbols = Readonly<Record<string, (...args: never[]) => number>>;

/** The functions of `bun:ffi` that this package calls. */
interface BunFFI {
  dlopen(
    library: string,
    symbols: Record<string, { args: readonly string[]; returns: "i32" }>,
  ): { symbols: Symbols };
  ptr(buffer: Uint8Array): number;
}

/** The functions of `node:ffi` that this package calls. */
interface NodeFFI {
  dlopen(library: string, symbols: Record<string, never>): { lib: NodeLibrary };
  getRawPointer(buffer: Uint8Array): bigint;
}

/** A library that `node:ffi` has opened. */
interface NodeLibrary {
  getSymbol(name: string): bigint;
  getFunction(name: string, signature: NodeSignature): Symbols[string];
}

/** The signature of a function in the form of `node:ffi`. */
interface NodeSignature {
  readonly arguments: readonly string[];
  readonly return: "i32";
}

/**
 * Returns the C library. The library is opened only once, because each opening costs milliseconds and memory
 * that is never freed. Returns undefined if the library cannot be called: on other systems and processors, without
 * the permission, or on Node before 26.1.
 */
export function openLibC(): LibC | undefined {
  return libraries.open();
}

/** The access to the C library. Tests replace `open` to run without the library. */
export const libraries: { open(): LibC | undefined } = { open: () => ofProcess(open) };

function open(): LibC | undefined {
  if (process.platform !== "linux" || !PROCESSORS.includes(process.arch)) return undefined;
  const libc = ofProcess(openLibrary);
  return libc && isAsKnown(libc) ? libc : undefined;
}

function openLibrary(): LibC | undefined {
  if ("bun" in process.versions) return firstOf(LIBRARIES, openOnBun);
  if ("deno" in process.versions) return mayUseFFI() ? firstOf(LIBRARIES, openOnDeno) : undefined;
  const ffi = nodeFFI();
  return ffi && firstOf(LIBRARIES, (library) => openOnNode(ffi, library));
}

/**
 * Returns `node:ffi`; undefined if Node does not have it, or its permission model forbids it. Node warns that the module
 * is experimental. Users of this package can do nothing about that, so the warning is left out.
 */
function nodeFFI(): NodeFFI | undefined {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    // The cast: the types lack `node:ffi`, and older versions of Node lack the module.
    return process.getBuiltinModule("node:ffi" as "fs") as unknown as NodeFFI | undefined;
  } catch {
    return undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/**
 * Reports whether the numbers of this package are those of the platform: what it asks a new socket for is what the
 * socket then has. Reports true if no socket can be opened, as a process that is out of descriptors may have some later.
 */
export function isAsKnown(
  libc: Pick<LibC, "socket" | "getsockopt" | "fcntl" | "close">,
): boolean {
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;
  try {
    const has = (option: number, expected: number) => {
      const [value, size] = [Uint8Array.of(0, 0, 0, 0), Uint8Array.of(4, 0, 0, 0)];
      return libc.getsockopt(fd, SOL_SOCKET, option, value, size) === 0 &&
        new DataView(value.buffer).getInt32(0, true) === expected;
    };
    return has(SO_TYPE, SOCK_STREAM) && has(SO_DOMAIN, AF_INET) &&
      libc.fcntl(fd, F_GETFD, 0) === FD_CLOEXEC &&
      (libc.fcntl(fd, F_GETFL, 0) & O_NONBLOCK) === O_NONBLOCK;
  } finally {
    libc.close(fd);
  }
}

/**
 * Returns the name of a function in a library. musl 1.2.4 and later has no names that end in 64: its `getdents` is what
 * glibc calls `getdents64`. A library that lacks one function is not opened at all.
 */
export function symbolOf(library: string, name: string): string {
  return library.includes("musl") ? name.replace(/64$/, "") : name;
}

/** Returns the types of the arguments of each function, by its name in a library. */
function signaturesOf(library: string): [string, readonly ("i32" | "u32" | "ptr")[]][] {
  return Object.entries(SIGNATURES).map(([name, args]) => [symbolOf(library, name), args]);
}

/** Returns the functions of a library by the names that they have in this package. */
function functionsOf(library: string, symbols: Symbols): Functions {
  // The cast: these are the functions that SIGNATURES names.
  return Object.fromEntries(
    Object.keys(SIGNATURES).map((name) => [name, symbols[symbolOf(library, name)]]),
  ) as unknown as Functions;
}

function openOnBun(library: string): LibC {
  // The cast: Node's types lack Bun's modules.
  const { dlopen, ptr } = process.getBuiltinModule("bun:ffi" as "fs") as unknown as BunFFI;
  const signatures = Object.fromEntries(
    signaturesOf(library).map(([name, args]) => [name, { args, returns: "i32" as const }]),
  );
  const { symbols } = dlopen(library, signatures);
  return { ...functionsOf(library, symbols), pointer: (buffer) => BigInt(ptr(buffer)) };
}

function openOnDeno(library: string): LibC {
  const signatures = Object.fromEntries(
    signaturesOf(library).map(([name, args]) => [
      name,
      { parameters: args.map((arg) => arg === "ptr" ? "buffer" : arg), result: "i32" },
    ]),
  );
  const { dlopen, UnsafePointer } = deno();
  // The cast: the returned symbols are the functions that `signatures` names.
  const functions = functionsOf(library, dlopen(library, signatures).symbols as Symbols);
  return { ...functions, pointer: (buffer) => UnsafePointer.value(UnsafePointer.of(buffer)) };
}

function openOnNode(ffi: NodeFFI, library: string): LibC {
  const { lib } = ffi.dlopen(library, {});
  // The cast: the functions follow.
  const libc = { pointer: (buffer: Uint8Array) => ffi.getRawPointer(buffer) } as LibC;
  for (const [name, args] of Object.entries(SIGNATURES)) {
    const symbol = symbolOf(library, name);
    // Throws if the library lacks the function.
    lib.getSymbol(symbol);
    const signature = {
      arguments: args.map((arg) => arg === "ptr" ? "pointer" : arg),
      return: "i32" as const,
    };
    defineAtFirstUse(libc, name, () => lib.getFunction(symbol, signature));
  }
  // The experimental module may change. A version that reads the signatures differently throws here, and
  // `firstOf` catches the error.
  libc.close(-1);
  return libc;
}

/** Defines a property whose value is made at its first use. Node takes up to a millisecond to make a function. */
function defineAtFirstUse(object: object, name: string, make: () => unknown): void {
  const get = () => {
    const value = make();
    Object.defineProperty(object, name, { value });
    return value;
  };
  Object.defineProperty(object, name, { get, configurable: true, enumerable: true });
}

/** Reports whether FFI is permitted, without asking the user, whose answer would come too late. */
function mayUseFFI(): boolean {
  return deno().permissions.querySync({ name: "ffi" }).state === "granted";
}

/** Returns the library that opens under the first possible name; undefined if no name works. */
function firstOf(names: readonly string[], open: (name: string) => LibC): LibC | undefined {
  for (const name of names) {
    try {
      return open(name);
    } catch {
      // Try the next name.
    }
  }
  return undefined;
}
