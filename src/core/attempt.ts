import { reportError } from "./report_error.ts";

/**
 * Runs a function that must stop nothing: what it throws, or rejects with, is reported. Returns whether
 * it has not thrown.
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
