import { ofProcess } from "../../core/process_state.ts";
import { closeSync, constants, fstatSync, type Stats, writeSync } from "node:fs";
import process from "node:process";
import { nodeCluster, nodeDns, nodeUtil, workerThreads } from "../../core/builtins.ts";
import type { Addr } from "../../core/addr.ts";
import { UpgradeError } from "../../core/errors.ts";
import { addrOfTable, listeningRows, TCP_TABLES, UNIX_TABLE, unixRow } from "../linux/proc_net.ts";
import { inodeOf, linesOf, linkOf, textOf } from "./proc_files.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";
import { isBoundTo } from "../linux/bound_address.ts";
import { listenError } from "../host/listen_error.ts";
import type { ListeningSocket, OpenOptions, Sockets } from "../../core/sockets.ts";
import { type BoundHandle, internals } from "./internals.ts";
import { atSparePath } from "../../core/spare_path.ts";
import { listenInHelper } from "./listening_helper.ts";

/** Returns the handles that no server uses yet, by their descriptors. */
const freeHandles = () => ofProcess(newHandles);
const newHandles = () => new Map<number, BoundHandle>();

/**
 * Returns the handle of a descriptor that {@linkcode NodeSockets} has opened, for a server to listen with,
 * and forgets the handle. Given only the number of the descriptor, the server would create a second handle,
 * and both handles would close that number. The second close happens when the thread ends, which may be a
 * Worker, and the number may belong to something else by then.
 */
export function takeHandle(fd: number): BoundHandle | undefined {
  const handle = freeHandles().get(fd);
  freeHandles().delete(fd);
  // A closed handle has no descriptor.
  return handle?.fd === fd ? handle : undefined;
}

/** The mask for the access mode in the flags of a descriptor: read, write or both. */
const O_ACCMODE = 3;
/** The flag of libuv's `uv_tcp_bind` that sets SO_REUSEPORT. */
const UV_TCP_REUSEPORT = 2;

/**
 * The listening sockets of a process on Node. This class binds a socket, and the server that takes the
 * socket makes it listen. Node does not pass inherited descriptors on to programs that it starts, and
 * cannot choose which of several sockets of a port gets the connections.
 */
export class NodeSockets implements Sockets {
  readonly steering = undefined;
  /**
   * The sockets that {@linkcode NodeSockets.open} has opened. They are closed by handle, not by descriptor.
   */
  readonly #opened = new Map<number, { handle: BoundHandle; link: string }>();
  /** The descriptors of the sockets that listen without a server. */
  readonly #unserved = new Set<number>();

  async open(listen: Addr, { reusePort }: OpenOptions): Promise<ListeningSocket> {
    if (nodeCluster().isWorker) {
      throw new UpgradeError(
        `Cannot hand over a listener from worker ${nodeCluster().worker?.id} of node:cluster: the primary owns its ` +
          "sockets, and replaces its workers one by one (docs/clusters.md)",
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

  async startListening(sockets: readonly ListeningSocket[], backlog: number): Promise<void> {
    if (sockets.length === 0) return;
    const failure = await listenInHelper(sockets.map(({ fd }) => fd), backlog);
    if (failure !== undefined) {
      const error = Object.assign(new Error(`listen ${failure.code}`), { code: failure.code });
      throw listenError(sockets[failure.index]!.addr, error);
    }
    for (const { fd } of sockets) this.#unserved.add(fd);
  }

  addressOf(fd: number): Addr | undefined {
    const inode = inodeOf(fd);
    return inode === undefined ? undefined : tcpAddress(inode) ?? unixAddress(inode);
  }

  listensAt(fd: number, addr: Addr): boolean {
    // Other systems do not report the address of a descriptor.
    if (process.platform !== "linux") return statOf(fd)?.isSocket() === true;
    return isBoundTo(this.addressOf(fd), addr);
  }

  isPipe(fd: number): boolean {
    const stat = statOf(fd);
    const isSocket = stat?.isSocket() === true;
    if (process.platform !== "linux") return isSocket || stat?.isFIFO() === true;
    if (!isSocket) return stat?.isFIFO() === true && isWritable(fd);
    const inode = inodeOf(fd);
    return inode !== undefined && unixRow(textOf(UNIX_TABLE), inode)?.isConnected === true;
  }

  isOpen(fd: number): boolean {
    const opened = this.#opened.get(fd);
    return opened === undefined ? this.addressOf(fd) !== undefined : linkOf(fd) === opened.link;
  }

  /**
   * Returns the descriptor to lend. Throws for a socket that a Worker has opened: the end of a Worker
   * closes its handles, even a handle whose descriptor a server has closed before.
   */
  lend(fd: number): number {
    if (workerThreads().isMainThread || !freeHandles().has(fd)) return fd;
    throw new UpgradeError(
      `Cannot give a descriptor to another server in the Worker ${workerThreads().threadId}: on Node a Worker closes its ` +
        "descriptors once more when it ends, so do that in the main thread, or use serve()",
    );
  }

  close(fd: number): void {
    const opened = this.#opened.get(fd);
    this.#opened.delete(fd);
    freeHandles().delete(fd);
    if (opened === undefined) return closeSync(fd);
    // A server may have closed the descriptor, and something else may have the number by now: compare the
    // link. If the socket listens, a server uses it and closes it.
    const isServed = !this.#unserved.delete(fd) && this.addressOf(fd) !== undefined;
    if (linkOf(fd) === opened.link && !isServed) opened.handle.close();
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

  get spreadOver(): Sockets["spreadOver"] {
    const kernel = openKernelSockets();
    return kernel && ((fd, places) => kernel.spreadOver(fd, places));
  }
}

async function bindTcp(hostname: string, port: number, flags: number): Promise<BoundHandle> {
  const { address, family } = await nodeDns().promises.lookup(hostname);
  return bind(address, port, family === 6 ? 6 : 4, flags);
}

function bind(address: string, port: number, type: 4 | 6 | -1, flags: number): BoundHandle {
  const handle = internals.createServerHandle(address, port, type, flags);
  if (typeof handle === "number") throw systemError("bind", handle);
  return handle;
}

/**
 * Returns the local address of a bound handle. Closes the handle and throws if binding has failed: libuv
 * reports an address that is in use only at this call.
 */
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
  const code = nodeUtil().getSystemErrorName(status);
  return Object.assign(new Error(`${call} ${code}`), { code });
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

function tcpAddress(inode: string): Addr | undefined {
  for (const table of TCP_TABLES) {
    for (const row of listeningRows(linesOf(table))) {
      if (row.inode === inode) return addrOfTable(row.local);
    }
  }
  return undefined;
}

function unixAddress(inode: string): Addr | undefined {
  const row = unixRow(textOf(UNIX_TABLE), inode);
  return row?.isListening ? { transport: "unix", path: row.path } : undefined;
}
