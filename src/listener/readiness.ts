/**
 * What waits for this process to be ready. One that replaces another accepts nothing before that,
 * so that it can fail until then and harm nobody.
 */
import { ofProcess } from "../core/process_state.ts";
import { predecessor } from "./inheritance.ts";

/** Whether this process has said that it is ready, and what waits for that. */
const readiness = () => ofProcess(newReadiness);
const newReadiness = () => ({ isReady: false, waiting: new Set<() => Promise<void>>() });

/** Whether this process is to replace another, and has not yet. */
export function isPending(): boolean {
  return !readiness().isReady && predecessor() !== undefined;
}

/** Runs it when this process is ready: at once, unless it is to replace another. */
export async function whenReady(start: () => Promise<void>): Promise<void> {
  if (isPending()) readiness().waiting.add(start);
  else await start();
}

/** Forgets what was to run. */
export function cancel(start: () => Promise<void>): void {
  readiness().waiting.delete(start);
}

/** Runs all that waits. */
export async function startWaiting(): Promise<void> {
  readiness().isReady = true;
  const { waiting } = readiness();
  for (const start of waiting) {
    waiting.delete(start);
    await start();
  }
}
