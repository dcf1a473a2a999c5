/** For how many ms a forced close waits for what the runtime cannot end, or does not tell of. */
const FORCE_WAIT = 500;

/** Resolves or rejects with the promise, and resolves in any case after {@linkcode FORCE_WAIT}. */
export async function forcedEnd(end: Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, FORCE_WAIT);
  try {
    await Promise.race([end, promise]);
  } finally {
    clearTimeout(timer);
  }
}
