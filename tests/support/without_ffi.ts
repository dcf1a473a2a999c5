import { libraries } from "../../src/runtime/linux/libc.ts";

/** Runs without the C library. */
export async function withoutFFI(fn: () => Promise<void>): Promise<void> {
  const { open } = libraries;
  libraries.open = () => undefined;
  try {
    await fn();
  } finally {
    libraries.open = open;
  }
}
