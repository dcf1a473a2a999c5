/**
 * Stand-ins for the functions of `@std/async` that the tests use, with their names and signatures,
 * for where JSR cannot be reached. `deno task test` uses the real ones.
 */

/** Resolves after so many milliseconds. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise's outcome, or a rejection with a `TimeoutError` after so many milliseconds. */
export async function deadline<T>(p: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new DOMException(`Not done within ${ms} ms`, "TimeoutError")),
      ms,
    );
  });
  try {
    return await Promise.race([p, late]);
  } finally {
    clearTimeout(timer);
  }
}
