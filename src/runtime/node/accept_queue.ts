/** The accept queue of a server of `node:net`, or of a server that is built on `node:net`. */
import net from "node:net";
import process from "node:process";
import { nodeCluster } from "../../core/builtins.ts";
import type { Addr } from "../../core/addr.ts";
import type { AcceptQueue } from "../host/accept_queue.ts";
import { type Handle, internals } from "./internals.ts";
import { listeningRows, MIGRATION, TCP_TABLES } from "../linux/proc_net.ts";
import { inodeOf, linesOf, textOf } from "./proc_files.ts";
import { descriptorOf } from "./listener_descriptors.ts";
import { unfinishedHandshakes } from "../linux/unfinished_handshakes.ts";
import { connects, OwnPlace } from "./own_place.ts";
import { type KernelSockets, openKernelSockets } from "../linux/kernel_sockets.ts";

/** The backlog that Node uses if none is given. */
const DEFAULT_BACKLOG = 511;

/** The properties of a driver that its accept queue needs. */
export interface Accepting {
  readonly server: net.Server;
  /** Returns the address that the server listens on. Must be called only while the server listens. */
  readonly addr: () => Addr;
  readonly backlog: number | undefined;
  /** Returns the number of connections that the server has accepted. */
  readonly accepted: () => number;
  /**
   * Whether the owner of the server may have shared its socket with other processes, as `ChildProcess.send`
   * does.
   */
  readonly isWithinReach: boolean;
  /** Whether another process accepts on the socket too. Undefined if that is not known. */
  readonly isShared: boolean | undefined;
}

/** The accept queue of a server that is about to close. */
export interface ClosingQueue extends AcceptQueue {
  /**
   * Admits new connections again, if the socket may be open in another process as well. Must be called
   * right before the listener closes. Absent if no other process can have the socket.
   */
  letIn?(): void;
}

/**
 * Returns the accept queue of a server that is about to close. From this call on, new connections are kept
 * out of the queue where the runtime allows it.
 */
export function nodeAcceptQueue(accepting: Accepting): ClosingQueue {
  const queue = { ...queueOf(accepting), accepted: accepting.accepted };
  queue.holdBack?.();
  return queue;
}

type Queue = Omit<ClosingQueue, "accepted">;
type TcpAddr = Addr & { transport: "tcp" };

const EMPTY: Queue = { waiting: () => 0 };
const UNKNOWN: Queue = { waiting: () => undefined };

function queueOf(accepting: Accepting): Queue {
  const { server } = accepting;
  if (!server.listening) return EMPTY;
  const addr = accepting.addr();
  // The kernel does not report the queue length of a unix socket, and clients kept out of it would fail.
  if (addr.transport === "unix") return UNKNOWN;
  const handle = internals.handleOf(server);
  const sockets = openKernelSockets();
  if (sockets !== undefined) return kernelQueue(sockets, handle?.fd ?? -1, accepting);
  const isNode = !("bun" in process.versions) && !("deno" in process.versions);
  return isNode ? nodeQueue(handle, addr, accepting) : UNKNOWN;
}

/**
 * Returns whether another process accepts on the socket of a server, or may do so. Then new connections are not kept
 * out of the queue: their clients would wait for no reason.
 */
function isSharedSocket({ server, isShared }: Accepting): boolean {
  // A server that was given a descriptor has no key.
  return nodeCluster().isWorker || (isShared ?? internals.boundKeyOf(server) === undefined);
}

/**
 * Returns whether the socket of a server may be open in another process. Where it is known that nobody goes on
 * accepting, other processes that end hold connections back on the same socket.
 */
function mayBeShared({ isWithinReach, isShared }: Accepting): boolean {
  return isWithinReach && isShared === undefined;
}

/**
 * Returns the accept queue of a server on Node without the C library, where the socket table of the kernel shows its length. A
 * backlog of 0 leaves one place in the queue; the kernel ignores handshakes when that place is taken.
 */
function nodeQueue(
  handle: Handle | undefined,
  addr: TcpAddr,
  accepting: Accepting,
): Queue {
  const { backlog = DEFAULT_BACKLOG } = accepting;
  const inode = handle?.fd === undefined ? undefined : inodeOf(handle.fd);
  if (inode === undefined) return UNKNOWN;
  const waiting = () => queueLength(inode);
  if (isSharedSocket(accepting)) return { waiting };
  const holdBack = () => void handle?.listen?.(0);
  const letIn = mayBeShared(accepting) ? () => void handle?.listen?.(backlog) : undefined;
  if (handle === undefined || !sharesAddress(inode)) {
    const takeLastPlace = async () => await connects(addr) || waiting() === 0;
    return { waiting, holdBack, takeLastPlace, letIn };
  }
  // The kernel moves the queue to the other sockets.
  if (textOf(MIGRATION).trim() === "1") return EMPTY;
  // Clients that are held back try again after a second, so this begins as late as possible.
  const place = new OwnPlace(handle, addr, holdBack);
  return { waiting, takeLastPlace: () => place.take(), release: () => place.release(), letIn };
}

/** Reports whether other sockets listen at the address of a socket and get a part of the connections. */
function sharesAddress(inode: string): boolean {
  const rows = TCP_TABLES.flatMap((table) => [...listeningRows(linesOf(table))]);
  const local = rows.find((row) => row.inode === inode)?.local;
  return rows.some((row) => row.local === local && row.inode !== inode);
}

/** Returns the accept queue of a server whose length comes from the C library. */
function kernelQueue(sockets: KernelSockets, shown: number, accepting: Accepting): Queue {
  const fd = shown >= 0 ? shown : descriptorOf(accepting.server);
  const own = fd === undefined ? sockets.listeningAt(accepting.addr()) : [fd];
  const [listener] = own;
  // If several sockets listen at the address, it is unknown which of them is the server's.
  if (listener === undefined || own.length > 1) return UNKNOWN;
  const waiting = () => sockets.waitingToBeAccepted(listener);
  if (isSharedSocket(accepting) || sockets.migratesQueue(listener)) return { waiting };
  const letIn = mayBeShared(accepting) ? sockets.holdBackHandshakes(listener) : undefined;
  if (letIn === undefined) sockets.turnAwayHandshakes(listener);
  return { waiting, letIn, hasUnfinishedHandshakes: unfinishedHandshakes(sockets, listener) };
}

/** Returns the length of the accept queue of the TCP socket with this inode. */
function queueLength(inode: string): number | undefined {
  for (const table of TCP_TABLES) {
    for (const row of listeningRows(linesOf(table))) if (row.inode === inode) return row.waiting;
  }
  return undefined;
}
