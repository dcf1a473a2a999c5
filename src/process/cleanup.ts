import { setImmediate } from "node:timers/promises";
import type { Cleanup } from "./graceful_options.ts";

/**
 * Runs them one after the other, the last one first, until the deadline: then the others are started
 * at once and not waited for, so that they have what time the process has left.
 */
export async function cleanUp(
  cleanups: readonly Cleanup[],
  timeout: number,
  onError: (what: string, error: unknown) => void,
): Promise<void> {
  const deadline = deadlineIn(timeout);
  for (const [index, cleanup] of [...cleanups.entries()].toReversed()) {
    const what = nameOf(cleanup, index, cleanups.length);
    const run = start(cleanup).catch((error: unknown) => onError(what, error));
    const isDone = await Promise.race([run.then(() => true), deadline.passed.then(isOver)]);
    if (isDone) continue;
    onError(
      what,
      new DOMException(`It is not done after the ${timeout} ms of cleanupTimeout`, "TimeoutError"),
    );
  }
  deadline.cancel();
}

function deadlineIn(ms: number): { passed: Promise<void>; cancel: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  return { passed: promise, cancel: () => clearTimeout(timer) };
}

/** Past the deadline one that waits for nothing gets done all the same. */
async function isOver(): Promise<false> {
  await setImmediate();
  return false;
}

async function start(cleanup: Cleanup): Promise<void> {
  await cleanup();
}

function nameOf({ name }: Cleanup, index: number, count: number): string {
  const isNamed = name !== "" && name !== "cleanup";
  if (isNamed) return `cleanup ${name}`;
  return count === 1 ? "cleanup" : `cleanup ${index + 1} of ${count}`;
}
