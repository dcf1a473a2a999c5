import { within } from "../core/within.ts";
import type { Failures } from "./failures.ts";
import type { Cleanup } from "./options.ts";

/** A kind of hooks, by the names of its options, which reports use. */
export interface HookKind {
  /** The option that the hooks were given in. */
  readonly option: "beforeShutdown" | "onDrain" | "cleanup";
  /** The option that limits the time of the hooks. */
  readonly limit: "beforeShutdownTimeout" | "timeout" | "cleanupTimeout";
}

/**
 * Starts all hooks at once, and resolves when all of them are done or the time is up. Reports each hook that fails
 * or is not done in time.
 */
export async function runTogether(
  kind: HookKind,
  hooks: readonly Cleanup[],
  timeout: number,
  failures: Failures,
): Promise<void> {
  await Promise.all(hooks.map(async (hook, index) => {
    const what = hookName(kind, hook, index, hooks.length);
    const run = startHook(hook).catch((error: unknown) => failures.add(what, error));
    if (!await within(run, timeout)) failures.add(what, overdue(kind, timeout));
  }));
}

/** Runs a hook. An error that the hook throws becomes a rejection. */
export async function startHook(hook: Cleanup): Promise<void> {
  await hook();
}

/** Returns the name of a hook for reports: the name of its function, or else its place among the hooks. */
export function hookName(
  { option }: HookKind,
  { name }: Cleanup,
  index: number,
  count: number,
): string {
  const isNamed = name !== "" && name !== option;
  if (isNamed) return `${option} ${name}`;
  return count === 1 ? option : `${option} ${index + 1} of ${count}`;
}

/** Returns the error of a hook that is not done when its time is up. */
export function overdue({ limit }: HookKind, timeout: number): DOMException {
  return new DOMException(
    `The function was not done after the ${timeout} ms of ${limit}`,
    "TimeoutError",
  );
}
