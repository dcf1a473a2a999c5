/**
 * The readiness of this process. A process with a predecessor or a supervisor accepts no connection before it is
 * ready, so that no connection is lost if it fails before.
 */
import { ofProcess } from "../core/process_state.ts";
import { predecessor, supervisor } from "./inheritance.ts";

/**
 * Returns the readiness of this process: whether it has declared itself ready, and the functions that wait
 * for that.
 */
const readiness = () => ofProcess(newReadiness);
const newReadiness = () => ({
  isReady: false,
  waiting: new Set<() => Promise<void>>(),
  /** Whether the predecessor was told that this process is ready. */
  hasTakenOver: false,
});

/** Reports whether this process has a predecessor or a supervisor, and is not ready yet. */
export function isPending(): boolean {
  return !readiness().isReady && (predecessor() ?? supervisor()) !== undefined;
}

/** Runs a function when this process is ready: at once if the process has no predecessor and no supervisor. */
export async function whenReady(start: () => Promise<void>): Promise<void> {
  if (isPending()) readiness().waiting.add(start);
  else await start();
}

/** Removes a function that waits until this process is ready. */
export function cancel(start: () => Promise<void>): void {
  readiness().waiting.delete(start);
}

/** Marks this process as ready, and runs the functions that wait, one after the other. */
export async function startWaiting(): Promise<void> {
  readiness().isReady = true;
  const { waiting } = readiness();
  for (const start of waiting) {
    waiting.delete(start);
    await start();
  }
}

/** Records that the predecessor was told that this process is ready. */
export function takenOver(): void {
  readiness().hasTakenOver = true;
}

/**
 * Reports whether a predecessor has the inherited sockets and may keep serving, because it was not told yet that this
 * process is ready.
 */
export function isHeldByPredecessor(): boolean {
  return !readiness().hasTakenOver && predecessor() !== undefined;
}
