/** The pauses after errors of `accept`, and the reports of these errors. */

/**
 * The number of ms of the first pause after accepting has failed for lack of descriptors or memory. Go uses
 * the same.
 */
export const FIRST_PAUSE = 5;
/** The number of ms up to which the pauses double while accepting fails. Go uses the same. */
export const LONGEST_PAUSE = 1_000;

/** The least number of ms between two reports of a shortage, during which usually every accept fails. */
const REPORT_INTERVAL = 10_000;

/** The reports of the errors with which one listener fails to accept. */
export class AcceptErrors {
  #reportedAt = -Infinity;

  /** Calls `onError` with an error, unless an error was reported a short time ago. */
  report(error: unknown, onError: (error: unknown) => void): void {
    const now = performance.now();
    if (now - this.#reportedAt < REPORT_INTERVAL) return;
    this.#reportedAt = now;
    if (error instanceof Error) dropStack(error);
    onError(error);
  }
}

/**
 * Replaces the stack of an error of `accept`. To format the stack, Deno reads files, and Deno panics if no
 * descriptor is left for them. The stack would only say that a server accepts.
 */
function dropStack(error: Error): void {
  error.stack = `${error.name}: ${error.message}`;
}
