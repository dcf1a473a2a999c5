import type { Addr } from "../../core/addr.ts";
import { type AcceptQueue, takeInAcceptQueue } from "../host/accept_queue.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";

/** The accept queue of a listener that is about to close. */
export interface ClosingQueue extends AcceptQueue {
  /**
   * Closes the listener, where it is known and no other process has it. Deno does so no sooner than in the
   * next turn of its event loop: until then clients would wait for an answer to their handshake.
   */
  close?(): void;
}

/**
 * The accept queue of a listener of Deno that is about to close. How long it is is not known without the
 * C library, nor where another listener of the process has the address.
 *
 * `shared` is the descriptor of a socket that another process may have as well. No new connection comes
 * to one that is not.
 */
export function closingQueue(addr: Addr, accepted: () => number, shared?: number): ClosingQueue {
  const kernel = openKernelSockets();
  const found = shared === undefined ? kernel?.listeningAt(addr) : [shared];
  const listener = found?.length === 1 ? found[0] : undefined;
  if (kernel === undefined || listener === undefined || addr.transport === "unix") {
    return { waiting: () => undefined, accepted };
  }
  const waiting = () => kernel.waitingToBeAccepted(listener);
  if (shared !== undefined) return { waiting, accepted };
  kernel.holdBackHandshakes(listener);
  return { waiting, accepted, close: () => void kernel.closingUnnoticed(listener)() };
}

/**
 * Has a server of `Deno.serve` accept what waits, and begin with the requests of what it has accepted: its
 * own graceful stop closes connections without one. `queue.accepted` is how many requests have begun.
 */
export function takeInServeQueue(queue: ClosingQueue, force: AbortSignal): Promise<void> {
  return takeInAcceptQueue({ ...queue, waiting: () => queue.waiting() || undefined }, force);
}
