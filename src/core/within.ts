/**
 * The number of milliseconds that a forced close waits for what the runtime cannot end, or whose end the
 * runtime does not report.
 */
export const FORCE_WAIT = 300;

/**
 * Waits at most `ms` milliseconds for a promise. Returns whether the promise has resolved by then. Rejects
 * if the promise has rejected by then.
 */
export async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: passed, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true), passed]);
  } finally {
    clearTimeout(timer);
  }
}
