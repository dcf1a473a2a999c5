/** The end of a listener that shares its port with a successor's, by SO_REUSEPORT. */
import { setTimeout as sleep } from "node:timers/promises";
import { sockets } from "../runtime/sockets.ts";
import type { SharedListener } from "../listener/shared_listener.ts";

/**
 * For how long connections may still be on their way to the older socket, in ms: those whose
 * handshake had begun when the kernel was told of the newer one.
 */
const SETTLING_TIME = 1_000;
/** The number of ms between two looks at an accept queue. */
const LOOK_INTERVAL = 10;

/** Resolves when no connection waits, or will, at the listeners that a successor has beside its own. */
export async function settled(listeners: readonly SharedListener[]): Promise<void> {
  const beside = listeners.filter(({ handoff }) => handoff === "reuseport");
  const { steering } = sockets();
  if (beside.length === 0 || steering === undefined) return;
  await sleep(SETTLING_TIME);
  while (beside.some(({ fd }) => steering.acceptQueue(fd) > 0)) await sleep(LOOK_INTERVAL);
}
