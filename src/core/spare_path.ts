import { randomInt } from "node:crypto";
import { linkSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const DIGITS = 6;

/** The length in bytes of the name of a spare path. */
export const SPARE_NAME_LENGTH: number = 1 + DIGITS;

/** A path beside another that nobody else uses or can guess. Short, for the kernel takes no long ones. */
export function sparePath(path: string): string {
  const name = randomInt(36 ** DIGITS).toString(36).padStart(DIGITS, "0");
  return join(dirname(path), `.${name}`);
}

/** Whether a path can be the spare path of another. */
export function isSparePathOf(spare: string, path: string): boolean {
  const name = basename(spare);
  return /^\.[0-9a-z]{6}$/.test(name) && spare === join(dirname(path), name);
}

/**
 * Has a unix socket bound at a path that nobody knows, and then gives it the one that it is meant
 * to have. Runtimes remove the file of a socket that they close from where they have bound it,
 * and there a successor's clients would look for it.
 */
export function atSparePath<T>(
  path: string,
  bind: (spare: string) => T,
  undo: (bound: T) => void,
): T {
  const spare = sparePath(path);
  const bound = bind(spare);
  try {
    linkSync(spare, path);
    return bound;
  } catch (error) {
    undo(bound);
    throw isExisting(error) ? Object.assign(error, { code: "EADDRINUSE" }) : error;
  } finally {
    rmSync(spare, { force: true });
  }
}

function isExisting(error: unknown): error is Error {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}
