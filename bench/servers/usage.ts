/** The process's own account of what it has used. */
import process from "node:process";
import type { Usage } from "./commands.ts";

/** What the process has used so far. */
export function usage(): Usage {
  return { cpu: cpu(), rss: process.memoryUsage.rss() };
}

/** User and system time of the process, in µs. */
export function cpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Collects garbage, also of objects that need a turn of the event loop to be given up. */
export async function collectGarbage(): Promise<void> {
  // The cast: Node and Deno have `gc` with --expose-gc, and Bun has its own.
  const { Bun, gc } = globalThis as unknown as {
    Bun?: { gc(synchronous: boolean): void };
    gc?: () => void;
  };
  for (let i = 0; i < 3; i++) {
    if (Bun === undefined) gc?.();
    else Bun.gc(true);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
