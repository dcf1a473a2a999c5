import { ofProcess } from "../../core/process_state.ts";
import cluster from "node:cluster";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  type Stats,
  writeSync,
} from "node:fs";
import { lookup } from "node:dns/promises";
import process from "node:process";
import { getSystemErrorName } from "node:util";
import { isMainThread, threadId } from "node:worker_threads";
import type { Addr } from "../../core/addr.ts";
import { UpgradeError } from "../../core/errors.ts";
import { isBoundTo } from "../linux/bound_address.ts";
import { listenError } from "../../core/listen_error.ts";
import type { ListeningSocket, OpenOptions, Sockets } from "../../core/sockets.ts";
import { type BoundHandle, internals } from "./internals.ts";
import { atSparePath } from "../../core/spare_path.ts";

/** The handles that no server has, by their descriptors. */
const freeHandles = () => ofProcess(newHandles);
const newHandles = () => new Map<number, BoundHandle>();

/**
 * Takes the handle of a descriptor that was opened here, for a server to listen with. With the number
 * alone the server would make a second handle, and each of the two would close the number: the other
 * one when its thread ends, which may be a Worker, and the number that of something else by then.
 */
export function takeHandle(fd: number): BoundHandle | undefined {
  const handle = freeHandles().get(fd);
  freeHandles().delete(fd);
  // One that was closed has no descriptor.
  return handle?.fd === fd ? handle : undefined;
}

/** The state of a listening socket in `/proc/net/tcp`. */
const LISTEN = "0A";
/** The flag of one in `/proc/net/unix`. */
const ACCEPTS = "00010000";
/** The state of one that is connected. */
const CONNECTED = "03";
/** What is where in a line of `/proc/net/unix`. */
const ROW = { flags: 1, state: 2, inode: 3, path: 4 } as const;
/** What is read of a table at once. */
const CHUNK = 4_096;
/** The part of a descriptor's flags that says what it is opened for. */
const O_ACCMODE = 3;
/** The flag of libuv's `uv_tcp_bind`. */
const UV_TCP_REUSEPORT = 2;

/**
 * Sockets of Node: bound here, and made to listen by the server that takes one. Node keeps
 * inherited descriptors from programs that it starts, and cannot steer.
 */
export class NodeSockets implements Sockets {
  readonly steering = undefined;
  /** Those opened here, which node would not know how to close by their numbers. */
  readonly #opened = new Map<number, { handle: BoundHandle; link: string }>();

  async open(listen: Addr, { reusePort }: OpenOptions): Promise<ListeningSocket> {
    if (cluster.isWorker) {
      throw new UpgradeError(
        "Cannot hand on a listening socket as the process must be no worker of node:cluster, where " +
          `the primary process has the sockets: current worker is ${cluster.worker?.id}`,
      );
    }
    try {
      const handle = listen.transport === "unix"
        ? atSparePath(listen.path, (spare) => bind(spare, -1, -1, 0), (handle) => handle.close())
        : await bindTcp(listen.hostname, listen.port, reusePort ? UV_TCP_REUSEPORT : 0);
      const addr = listen.transport === "unix" ? listen : nameOf(handle);
      this.#opened.set(handle.fd, { handle, link: linkOf(handle.fd) });
      freeHandles().set(handle.fd, handle);
      return { fd: handle.fd, addr };
    } catch (error) {
      throw listenError(listen, error);
    }
  }

  addressOf(fd: number): Addr | undefined {
    const inode = inodeOf(fd);
    return inode === undefined ? undefined : tcpAddress(inode) ?? unixAddress(inode);
  }

  listensAt(fd: number, addr: Addr): boolean {
    // Another system does not tell where.
    if (process.platform !== "linux") return statOf(fd)?.isSocket() === true;
    return isBoundTo(this.addressOf(fd), addr);
  }

  isPipe(fd: number): boolean {
    const stat = statOf(fd);
    const isSocket = stat?.isSocket() === true;
    if (process.platform !== "linux") return isSocket || stat?.isFIFO() === true;
    if (!isSocket) return stat?.isFIFO() === true && isWritable(fd);
    return unixRow(inodeOf(fd))?.[ROW.state] === CONNECTED;
  }

  isOpen(fd: number): boolean {
    const opened = this.#opened.get(fd);
    return opened === undefined ? this.addressOf(fd) !== undefined : linkOf(fd) === opened.link;
  }

  /** The end of a Worker closes its handles, also one whose descriptor a server has closed before. */
  lend(fd: number): number {
    if (isMainThread || !freeHandles().has(fd)) return fd;
    throw new UpgradeError(
      "Cannot lend a listening socket as the thread must be the main one on Node, for a Worker closes its " +
        `descriptors once more when it ends: current thread is ${threadId}`,
    );
  }

  close(fd: number): void {
    const opened = this.#opened.get(fd);
    this.#opened.delete(fd);
    freeHandles().delete(fd);
    if (opened === undefined) return closeSync(fd);
    // A server that had its number may have closed it, and something else have it by now; one that
    // listens has a server.
    if (linkOf(fd) === opened.link && this.addressOf(fd) === undefined) opened.handle.close();
  }

  closeOnExec(): void {}

  writeAndClose(pipe: number, text: string): boolean {
    try {
      return writeSync(pipe, text) > 0;
    } catch {
      return false;
    } finally {
      closeSync(pipe);
    }
  }

  withPassable<T>(fds: readonly number[], spawn: (fds: readonly number[]) => T): T {
    return spawn(fds);
  }
}

async function bindTcp(hostname: string, port: number, flags: number): Promise<BoundHandle> {
  const { address, family } = await lookup(hostname);
  return bind(address, port, family === 6 ? 6 : 4, flags);
}

function bind(address: string, port: number, type: 4 | 6 | -1, flags: number): BoundHandle {
  const handle = internals.createServerHandle(address, port, type, flags);
  if (typeof handle === "number") throw systemError("bind", handle);
  return handle;
}

/** libuv tells only here that an address is in use. */
function nameOf(handle: BoundHandle): Addr {
  const name: { address?: string; port?: number } = {};
  const status = handle.getsockname?.(name) ?? 0;
  if (status !== 0) {
    handle.close();
    throw systemError("bind", status);
  }
  return { transport: "tcp", hostname: name.address ?? "", port: name.port ?? 0 };
}

function systemError(call: string, status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`${call} ${code}`), { code });
}

function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/** The number of a socket in the tables of the kernel. */
function inodeOf(fd: number): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(linkOf(fd))?.[1];
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined;
  }
}

function isWritable(fd: number): boolean {
  const flags = /^flags:\s+([0-7]+)$/m.exec(textOf(`/proc/self/fdinfo/${fd}`))?.[1];
  return flags !== undefined && (parseInt(flags, 8) & O_ACCMODE) !== constants.O_RDONLY;
}

/** The text of a file of the kernel's; of one that this kernel does not have, none. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function tcpAddress(inode: string): Addr | undefined {
  for (const path of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    for (const row of listeningRows(path)) {
      if (row[9] !== inode) continue;
      const [address = "", port = ""] = row[1]!.split(":");
      return { transport: "tcp", hostname: hostnameOf(address), port: parseInt(port, 16) };
    }
  }
  return undefined;
}

/**
 * The lines of the sockets that listen, which come first. The kernel makes the rest as it is read, a
 * tenth of a second for a hundred thousand connections.
 */
function* listeningRows(path: string): Generator<string[]> {
  let isHeader = true;
  for (const line of linesOf(path)) {
    const row = line.trim().split(/\s+/);
    if (!isHeader && row[3] !== LISTEN) return;
    if (!isHeader) yield row;
    isHeader = false;
  }
}

/** The lines of a file of the kernel's, read no further than they are asked for. */
function* linesOf(path: string): Generator<string> {
  const file = openedOrNot(path);
  if (file === undefined) return;
  try {
    const buffer = new Uint8Array(CHUNK);
    let rest = "";
    for (let size; (size = readSync(file, buffer)) > 0;) {
      const lines = (rest + new TextDecoder().decode(buffer.subarray(0, size))).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
  } finally {
    closeSync(file);
  }
}

/** Undefined for a file that this kernel does not have. */
function openedOrNot(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined;
  }
}

function unixAddress(inode: string): Addr | undefined {
  const row = unixRow(inode);
  return row?.[ROW.flags] === ACCEPTS
    ? { transport: "unix", path: row[ROW.path] ?? "" }
    : undefined;
}

/** The line of a unix socket of streams. Its path, which comes last, may have spaces and newlines. */
function unixRow(inode: string | undefined): RegExpExecArray | undefined {
  for (const line of textOf("/proc/self/net/unix").split(/\n(?=[0-9a-f]+: )|\n$/)) {
    const row = /^\S+ \S+ \S+ (\S+) 0001 (\S+) +(\d+)(?: (.*))?$/s.exec(line);
    if (row !== null && row[ROW.inode] === inode) return row;
  }
  return undefined;
}

/** Each four bytes are turned round in it, as x86 and arm64 have them. */
function hostnameOf(hex: string): string {
  const bytes = hex.match(/.{8}/g)!.flatMap((word) => word.match(/../g)!.reverse());
  if (bytes.length === 4) return bytes.map((byte) => parseInt(byte, 16)).join(".");
  const groups = bytes.join("").match(/.{4}/g)!;
  // As Node writes the address of IPv4 in one of IPv6.
  if (groups.slice(0, 6).join(":") === "0000:0000:0000:0000:0000:ffff") {
    return `::ffff:${bytes.slice(12).map((byte) => parseInt(byte, 16)).join(".")}`;
  }
  // The URL parser knows how to write an IPv6 address short.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
