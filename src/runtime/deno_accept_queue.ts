import type { Addr } from "../conn.ts";
import type { AcceptQueue } from "./accept_queue.ts";
import { openKernelSockets } from "./kernel_sockets.ts";

/**
 * The accept queue of a listener of Deno that is about to close. How long it is is not known without the
 * C library, nor where another listener of the process has the address.
 *
 * `shared` is the descriptor of a socket that another process may have as well. No new connection comes
 * to one that is not: Deno closes it no sooner than in the next turn of its event loop.
 */
export function closingQueue(addr: Addr, accepted: () => number, shared?: number): AcceptQueue {
  const kernel = openKernelSockets();
  const found = shared === undefined ? kernel?.listeningAt(addr) : [shared];
  const listener = found?.length === 1 ? found[0] : undefined;
  if (kernel === undefined || listener === undefined || addr.transport === "unix") {
    return { waiting: () => undefined, accepted };
  }
  const waiting = () => kernel.waitingToBeAccepted(listener);
  if (shared !== undefined) {
    return { waiting, accepted, holdBack: () => kernel.holdBackHandshakes(listener) };
  }
  kernel.holdBackHandshakes(listener);
  return { waiting, accepted };
}

/**
 * The accept queue of a server of `Deno.serve` that is about to close: a connection has left it when its
 * request has begun, for Deno closes those without one. `begun` is how many requests have.
 */
export function closingServeQueue(addr: Addr, begun: () => number, shared?: number): AcceptQueue {
  const queue = closingQueue(addr, begun, shared);
  return { ...queue, waiting: () => queue.waiting() || undefined };
}
