/** The accept queue of a server of `node:net`, or of one that is built on it. */
import cluster from "node:cluster";
import net from "node:net";
import process from "node:process";
import { type Addr, isUnspecified } from "../../core/addr.ts";
import type { AcceptQueue } from "../host/accept_queue.ts";
import { type Handle, internals } from "./internals.ts";
import { listeningRows, TCP_TABLES } from "../linux/proc_net.ts";
import { inodeOf, linesOf } from "./proc_files.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";

/** Node's own backlog. */
const DEFAULT_BACKLOG = 511;

/** What is asked of a driver: its server, and how many connections that has accepted. */
export interface Accepting {
  readonly server: net.Server;
  /** Where it listens, which may be asked only while it does. */
  readonly addr: () => Addr;
  readonly backlog: number | undefined;
  readonly accepted: () => number;
  /** Whether its owner may have given the socket to other processes, as `ChildProcess.send` does. */
  readonly isWithinReach: boolean;
}

/** The accept queue of a server that is about to close. */
export interface ClosingQueue extends AcceptQueue {
  /**
   * Undoes what keeps new connections back, if the socket may be open in another process as well. To be
   * called right before the listener closes.
   */
  letIn?(): void;
}

/** Returns the accept queue of a server that is about to close. New connections are kept out of it. */
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
  // Of a unix socket the length is not told, and clients that were kept out of its queue would fail.
  if (addr.transport === "unix") return UNKNOWN;
  const handle = internals.handleOf(server);
  const isNode = !("bun" in process.versions) && !("deno" in process.versions);
  const queue = isNode ? nodeQueue(handle, addr, accepting) : kernelQueue(handle?.fd, addr);
  // What another process may listen on as well is left as it is, so that its clients do not wait.
  return internals.boundKeyOf(server) !== undefined && !cluster.isWorker
    ? queue
    : { waiting: queue.waiting };
}

/**
 * On Node the kernel's table shows the length. A backlog of 0 leaves one place in the queue, and the
 * kernel ignores the handshakes for which there is none.
 */
function nodeQueue(
  handle: Handle | undefined,
  addr: TcpAddr,
  { backlog = DEFAULT_BACKLOG, isWithinReach }: Accepting,
): Queue {
  const inode = handle?.fd === undefined ? undefined : inodeOf(handle.fd);
  if (inode === undefined) return UNKNOWN;
  const waiting = () => queueLength(inode);
  return {
    waiting,
    takeLastPlace: async () => await connects(addr) || waiting() === 0,
    holdBack: () => void handle?.listen?.(0),
    letIn: isWithinReach ? () => void handle?.listen?.(backlog) : undefined,
  };
}

/**
 * Connects to a listener of this process, and at once no more. Returns whether the connection has come
 * into its accept queue, which on the loopback interface happens within the call.
 */
async function connects({ hostname, port }: TcpAddr): Promise<boolean> {
  const loopback = hostname === "::" ? "::1" : "127.0.0.1";
  const host = isUnspecified(hostname) ? loopback : hostname;
  const socket = net.connect({ host, port });
  socket.on("error", () => {});
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const isConnected = internals.handleOf(socket)?.getpeername?.({}) === 0;
  socket.destroy();
  return isConnected;
}

/** On Deno and Bun the C library shows the length. */
function kernelQueue(fd: number | undefined, addr: Addr): Queue {
  const sockets = openKernelSockets();
  if (sockets === undefined) return UNKNOWN;
  const own = fd !== undefined && fd >= 0 ? [fd] : sockets.listeningAt(addr);
  const [listener] = own;
  // Among several at one address, nobody knows which is this server's.
  if (listener === undefined || own.length > 1) return UNKNOWN;
  return {
    waiting: () => sockets.waitingToBeAccepted(listener),
    holdBack: () => void sockets.holdBackHandshakes(listener),
  };
}

/** Returns the length of the accept queue of the socket with this number. */
function queueLength(inode: string): number | undefined {
  for (const table of TCP_TABLES) {
    for (const row of listeningRows(linesOf(table))) if (row.inode === inode) return row.waiting;
  }
  return undefined;
}
