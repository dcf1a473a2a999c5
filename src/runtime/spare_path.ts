import { linkSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";

let count = 0;

/** A path beside another that nobody else uses. Short, for the kernel takes no long ones. */
export function sparePath(path: string): string {
  return join(dirname(path), `.${process.pid.toString(36)}${(count++).toString(36)}`);
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
