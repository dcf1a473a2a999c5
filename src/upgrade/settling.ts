/** The time in which a listener that shares its port with a successor's (SO_REUSEPORT) still gets connections. */
import { setTimeout as sleep } from "node:timers/promises";
import { sockets } from "../runtime/sockets.ts";
import type { SharedListener } from "../listener/shared_listener.ts";

/**
 * The number of milliseconds for which connections may still reach the older socket: those whose handshake began
 * before the kernel was told of the newer socket.
 */
const SETTLING_TIME = 1_000;
/** The number of ms between two looks at an accept queue. */
const LOOK_INTERVAL = 10;

/** Resolves when no connection waits, or will wait, at those listeners whose successor listens on a socket of its own. */
export async function settled(listeners: readonly SharedListener[]): Promise<void> {
  const beside = listeners.filter(({ handoff }) => handoff === "reuseport");
  const { steering } = sockets();
  if (beside.length === 0 || steering === undefined) return;
  await sleep(SETTLING_TIME);
  while (beside.some(({ fd }) => steering.acceptQueue(fd) > 0)) await sleep(LOOK_INTERVAL);
}
