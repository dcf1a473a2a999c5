import { isPrintable, printableError } from "./printable.ts";

/**
 * Writes an error to the console. If the console fails as well, as the console of Deno does on a full disk
 * or a closed terminal, that failure is ignored.
 */
export function reportError(about: unknown): void {
  try {
    console.error(isPrintable(about) ? about : printableError(about));
  } catch {
    // There is no other place to report to.
  }
}
