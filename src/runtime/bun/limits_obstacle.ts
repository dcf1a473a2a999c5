import process from "node:process";
import type { Addr } from "../../core/addr.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";

/**
 * Returns the rule that a time limit breaks on the engine `"bun"` at an address; undefined if the kernel shows the
 * connections there.
 */
export function bunLimitsObstacle({ transport }: Addr, asked: string): string | undefined {
  if (transport === "unix") return `'${asked}' must be absent on a unix socket`;
  return openKernelSockets() === undefined
    ? `'${asked}' must be absent on ${process.platform}`
    : undefined;
}
