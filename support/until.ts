import { setTimeout as wait } from "node:timers/promises";

/** How often it looks, in ms. */
const INTERVAL = 5;

/** How long it looks, in ms. */
const TIMEOUT = 30_000;

/** Resolves with the first value that is not undefined; rejects if there is none for 30 s. */
export async function until<T>(
  what: () => string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const end = performance.now() + TIMEOUT;
  while (performance.now() < end) {
    const value = await look();
    if (value !== undefined) return value;
    await wait(INTERVAL);
  }
  throw new Error(`In vain for ${TIMEOUT / 1_000} s: ${what()}`);
}
