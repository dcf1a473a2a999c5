import { setImmediate } from "node:timers/promises";
import type { Failures } from "./failures.ts";
import type { Cleanup } from "./options.ts";
import { type HookKind, hookName, overdue, startHook } from "./hooks.ts";

const CLEANUP: HookKind = { option: "cleanup", limit: "cleanupTimeout" };

/**
 * Runs the cleanup functions one after the other, the last one first. At the deadline the remaining functions are
 * all started, and not waited for: they have only the time until the process exits.
 */
export async function cleanUp(
  cleanups: readonly Cleanup[],
  timeout: number,
  failures: Failures,
): Promise<void> {
  const deadline = deadlineIn(timeout);
  for (const [index, cleanup] of [...cleanups.entries()].toReversed()) {
    const what = hookName(CLEANUP, cleanup, index, cleanups.length);
    const run = startHook(cleanup).catch((error: unknown) => failures.add(what, error));
    const isDone = await Promise.race([run.then(() => true), deadline.passed.then(isOver)]);
    if (!isDone) failures.add(what, overdue(CLEANUP, timeout));
  }
  deadline.cancel();
}

function deadlineIn(ms: number): { passed: Promise<void>; cancel: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  return { passed: promise, cancel: () => clearTimeout(timer) };
}

/**
 * Resolves with false after a turn of the event loop, so that a cleanup function that waits for nothing can finish even
 * after the deadline.
 */
async function isOver(): Promise<false> {
  await setImmediate();
  return false;
}
