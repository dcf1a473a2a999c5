import { complain } from "./report_error.ts";

/**
 * Runs a function that must stop nothing: what it throws, or rejects with, is reported. Returns whether
 * it has not thrown.
 */
export function attempt(run: () => unknown): boolean {
  try {
    const result = run();
    if (result instanceof Promise) result.catch(complain);
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}
