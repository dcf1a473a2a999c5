/**
 * The wait after an upgrade with SO_REUSEPORT. The successor listens on another socket, and the older socket of the
 * port still gets connections for a while.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { sockets } from "../runtime/sockets.ts";
import type { SharedListener } from "../listener/shared_listener.ts";

/**
 * The number of milliseconds for which connections may still reach the older socket: those whose handshake began
 * before the kernel was told of the newer socket.
 */
const SETTLING_TIME = 1_000;
/** The number of milliseconds between two looks at the accept queues. */
const LOOK_INTERVAL = 10;

/**
 * Resolves when no connection waits, or will wait, in the accept queue of a listener for which the successor has opened
 * a socket of its own. Does not wait for listeners that were handed over by their descriptor.
 */
export async function settled(listeners: readonly SharedListener[]): Promise<void> {
  const beside = listeners.filter(({ handoff }) => handoff === "reuseport");
  const { steering } = sockets();
  if (beside.length === 0 || steering === undefined) return;
  await sleep(SETTLING_TIME);
  while (beside.some(({ fd }) => steering.acceptQueue(fd) > 0)) await sleep(LOOK_INTERVAL);
}
