/** The number of ms that a close by force waits for what the runtime cannot end, or does not report. */
export const FORCE_WAIT = 300;

/**
 * Waits for a promise for at most so many ms. Returns whether it has resolved by then; rejects if the
 * promise has rejected by then.
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
