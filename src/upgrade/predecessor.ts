/** What a successor knows of its predecessor: how to tell it that the successor is ready, and whether it still runs. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { UpgradeError } from "../core/errors.ts";
import type { Handover } from "../listener/handover.ts";
import { predecessor } from "../listener/inheritance.ts";
import { isRunning } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import { READY } from "./ready_line.ts";

/**
 * The number of milliseconds between two checks of whether the predecessor is gone. A process gets no event when
 * its parent ends.
 */
const PREDECESSOR_INTERVAL = 50;

/** Returns the process id of the predecessor if it still runs. */
export function drainingPredecessor(): number | undefined {
  const pid = predecessor()?.pid;
  return isThere(pid) ? pid : undefined;
}

/** Tells the predecessor or the supervisor that this process is ready. */
export async function sayReady(
  { pid, ready }: Pick<Handover, "pid" | "ready">,
  starter: "predecessor" | "supervisor",
): Promise<void> {
  if (sockets().writeAndClose(ready, READY)) return;
  // A process that ends closes its pipes a moment before it is gone.
  await sleep(PREDECESSOR_INTERVAL);
  if (isRunning(pid)) {
    throw new UpgradeError(
      `Cannot take over: the ${starter} has stopped waiting for this process, and keeps serving`,
    );
  }
  console.warn(`The ${starter} ended before this process was ready to take over`);
}

/** Reports whether the predecessor still runs, in which case it is the parent of this process. */
export function isThere(predecessor: number | undefined): boolean {
  return predecessor !== undefined && process.ppid === predecessor;
}

/** Resolves when the predecessor is gone; at once if this process has no predecessor. */
export function gone(predecessor: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!isThere(predecessor)) return resolve();
    const timer = setInterval(() => {
      if (isThere(predecessor)) return;
      clearInterval(timer);
      resolve();
    }, PREDECESSOR_INTERVAL);
    timer.unref();
  });
}
