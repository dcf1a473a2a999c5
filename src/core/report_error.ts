import { isPrintable, printableError } from "./printable.ts";

/**
 * Writes to the console what has failed. That the console fails as well, as Deno's does on a full disk
 * or a terminal that is gone, stops nothing.
 */
export function reportError(about: unknown): void {
  try {
    console.error(isPrintable(about) ? about : printableError(about));
  } catch {
    // There is nowhere left to say it.
  }
}
