import { reportError } from "./report_error.ts";

/**
 * Runs a function whose failure must not stop anything else. What the function throws or rejects with is
 * reported on the console. Returns whether the function returned without throwing.
 */
export function attempt(run: () => unknown): boolean {
  try {
    const result = run();
    if (result instanceof Promise) result.catch(reportError);
    return true;
  } catch (error) {
    reportError(error);
    return false;
  }
}
