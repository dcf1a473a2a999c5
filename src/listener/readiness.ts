/**
 * What waits for this process to be ready. One that replaces another accepts nothing before that,
 * so that it can fail until then and harm nobody.
 */
import { predecessor } from "./inheritance.ts";

const waiting = new Set<() => Promise<void>>();
let isReady = false;

/** Whether this process is to replace another, and has not yet. */
export function isPending(): boolean {
  return !isReady && predecessor() !== undefined;
}

/** Runs it when this process is ready: at once, unless it is to replace another. */
export async function whenReady(start: () => Promise<void>): Promise<void> {
  if (isPending()) waiting.add(start);
  else await start();
}

/** Forgets what was to run. */
export function cancel(start: () => Promise<void>): void {
  waiting.delete(start);
}

/** Runs all that waits. */
export async function startWaiting(): Promise<void> {
  isReady = true;
  for (const start of waiting) {
    waiting.delete(start);
    await start();
  }
}
