import type { Addr } from "../../core/addr.ts";
import { type AcceptQueue, takeInAcceptQueue } from "../host/accept_queue.ts";
import {
  type KernelSockets,
  type ListeningSocket,
  openKernelSockets,
} from "../linux/kernel_sockets.ts";
import { unfinishedHandshakes } from "../linux/unfinished_handshakes.ts";

/** The accept queue of a listener that is about to close. */
export interface ClosingQueue extends AcceptQueue {
  /**
   * Closes the listener in the kernel at once. Deno closes a listener only in the next turn of its event
   * loop, and until then clients would wait for an answer to their handshake. Absent if the listener is
   * unknown, listens on a unix socket, or is shared with another process.
   */
  close?(): void;
}

/** The socket of a listener of Deno, as far as it is known. */
export interface KnownSocket {
  /** The socket that the listener was opened with. Undefined if it has to be found by the address. */
  readonly own?: ListeningSocket | undefined;
  /** The descriptor of the socket that was put in the place of the listener's own. */
  readonly given?: number | undefined;
  /** Whether another process accepts on the socket too. */
  readonly isShared: boolean;
  /**
   * Whether new handshakes are refused from now on, and not only ignored until the listener closes. Must be false for
   * `Deno.serve`, which still serves a while: a client that is refused takes the server's end for begun.
   */
  readonly refuses: boolean;
}

/**
 * Returns the accept queue of a listener of Deno that is about to close. The length of the queue is unknown without
 * the C library, on a unix socket, and if several listeners of the process have the address and it is unknown which
 * of them is meant.
 *
 * If the length is known and no other process may share the socket, the kernel refuses or ignores new handshakes from
 * now on, so that only the handshakes that have begun join the queue.
 */
export function closingQueue(
  addr: Addr,
  accepted: () => number,
  { own, given, isShared, refuses }: KnownSocket = { isShared: false, refuses: false },
): ClosingQueue {
  const kernel = openKernelSockets();
  const listener = given ?? (kernel && ownListener(kernel, addr, own));
  if (kernel === undefined || listener === undefined || addr.transport === "unix") {
    return { waiting: () => undefined, accepted };
  }
  const waiting = () => kernel.waitingToBeAccepted(listener);
  if (isShared) return { waiting, accepted };
  const close = () => void kernel.closingUnnoticed(listener)();
  if (kernel.migratesQueue(listener)) return { waiting, accepted, close };
  if (refuses) kernel.turnAwayHandshakes(listener);
  else kernel.holdBackHandshakes(listener);
  const hasUnfinishedHandshakes = unfinishedHandshakes(kernel, listener);
  return { waiting, accepted, hasUnfinishedHandshakes, close };
}

function ownListener(
  kernel: KernelSockets,
  addr: Addr,
  own: ListeningSocket | undefined,
): number | undefined {
  if (own !== undefined) return kernel.isOpen(own) ? own.fd : undefined;
  const found = kernel.listeningAt(addr);
  return found.length === 1 ? found[0] : undefined;
}

/**
 * Waits until a server of `Deno.serve` has accepted the connections in its accept queue and had time to start
 * their requests, because Deno's graceful stop closes a connection without a request. An empty queue is
 * therefore treated like a queue of unknown length. `queue.accepted` returns the number of started requests,
 * or 0 if this number is unknown.
 */
export function takeInServeQueue(queue: ClosingQueue, force: AbortSignal): Promise<void> {
  return takeInAcceptQueue({ ...queue, waiting: () => queue.waiting() || undefined }, force);
}
