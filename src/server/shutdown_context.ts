import type { ShutdownOptions } from "../options/shutdown.ts";

/** Returns the context of one shutdown: a signal that combines the caller's signal and deadline. */
export function shutdownContext(
  { signal, timeout }: ShutdownOptions,
): { context: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  const timer = timeout === undefined ? undefined : setTimeout(
    () =>
      controller.abort(
        new DOMException(`The shutdown's deadline of ${timeout} ms has passed`, "TimeoutError"),
      ),
    timeout,
  );
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort);
  return {
    context: controller.signal,
    release: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    },
  };
}

/**
 * The number of milliseconds past its deadline that a shutdown still waits for the listeners to close.
 * In Go, listeners close synchronously, so a deadline of 0 suffices for a server without connections.
 */
const LISTENER_GRACE = 100;

/** Resolves when `promise` settles, or LISTENER_GRACE after `context` aborts. Never rejects. */
export async function settledOrAborted(
  promise: Promise<void>,
  context: AbortSignal,
): Promise<void> {
  const { promise: isLate, resolve } = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => timer ??= setTimeout(resolve, LISTENER_GRACE);
  if (context.aborted) onAbort();
  context.addEventListener("abort", onAbort);
  await Promise.race([promise.catch(() => {}), isLate]);
  clearTimeout(timer);
  context.removeEventListener("abort", onAbort);
}
