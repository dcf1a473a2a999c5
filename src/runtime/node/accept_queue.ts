/** The accept queue of a server of `node:net`, or of one that is built on it. */
import { Buffer } from "node:buffer";
import cluster from "node:cluster";
import { closeSync, openSync, readlinkSync, readSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { type Addr, isUnspecified } from "../../core/addr.ts";
import type { AcceptQueue } from "../host/accept_queue.ts";
import { type Handle, internals } from "./internals.ts";
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
  const waiting = () => receiveQueueOf(inode);
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

function inodeOf(fd: number): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
  } catch {
    return undefined;
  }
}

/** The state of a listening socket in `/proc/net/tcp`. */
const LISTEN = "0A";
/** In bytes: what the kernel writes at once. */
const PAGE = 4096;

/** The receive queue of a listening socket, which is its accept queue. */
function receiveQueueOf(inode: string): number | undefined {
  for (const path of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    for (const line of listeningIn(path)) {
      const row = line.trim().split(/\s+/);
      if (row[9] === inode) return parseInt(row[4]!.split(":")[1]!, 16);
    }
  }
  return undefined;
}

/** The rows of the sockets that listen, which come before a great many that do not. */
function* listeningIn(path: string): Generator<string> {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const buffer = Buffer.alloc(PAGE);
    let rest = "";
    for (let size; (size = readSync(file, buffer, 0, PAGE, null)) > 0;) {
      const lines = (rest + buffer.toString("latin1", 0, size)).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const state = line.trim().split(/\s+/, 4)[3];
        if (state === LISTEN) yield line;
        else if (state !== "st") return;
      }
    }
  } catch {
    // Another system, or none of the files within reach.
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
