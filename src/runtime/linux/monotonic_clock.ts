/** The kernel's clock that is never set, which service managers compare times by. */
import { uptime } from "node:os";
import process from "node:process";
import type { LibC } from "./libc.ts";

const CLOCK_MONOTONIC = 1;

/**
 * The time of CLOCK_MONOTONIC in microseconds. On Node `process.hrtime` is that clock; on Deno and
 * Bun it starts with the process, so the C library is asked. Without it, what Deno has is the
 * system's uptime, in seconds: rounded up by the kernel, and with the time that the system has slept,
 * so that it is up to 1 s ahead, or more on a system that sleeps, and never behind.
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
