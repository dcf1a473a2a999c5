/** The kernel's monotonic clock, which is never adjusted, and with which service managers compare times. */
import { uptime } from "node:os";
import process from "node:process";
import { CLOCK_MONOTONIC } from "./headers.ts";
import type { LibC } from "./libc.ts";

/**
 * Returns the time of CLOCK_MONOTONIC in microseconds. On Node `process.hrtime` reads that clock. On Deno and
 * Bun `process.hrtime` starts with the process, so the C library reads the clock.
 *
 * Without the C library the result is the uptime of the system, which Deno reports in seconds: the kernel
 * rounds the uptime up and includes the time for which the system has slept. The result is then up to 1 s
 * ahead of the clock, or more on a system that sleeps, and never behind.
 */
export function monotonicMicroseconds(libc: LibC | undefined): number {
  if (isNode()) return Number(process.hrtime.bigint() / 1_000n);
  return libc === undefined ? uptime() * 1_000_000 : clockOf(libc);
}

function isNode(): boolean {
  return !("deno" in process.versions) && !("bun" in process.versions);
}

function clockOf(libc: LibC): number {
  const time = new BigInt64Array(2);
  libc.clock_gettime(CLOCK_MONOTONIC, new Uint8Array(time.buffer));
  const [seconds, nanoseconds] = time;
  return Number(seconds! * 1_000_000n + nanoseconds! / 1_000n);
}
