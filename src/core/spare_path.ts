import { linkSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { nodeCrypto } from "./builtins.ts";

const DIGITS = 6;

/** The length in bytes of the name of a spare path. */
export const SPARE_NAME_LENGTH: number = 1 + DIGITS;

/**
 * Returns a path in the same folder that nobody else uses or can guess. The name is short, because the
 * kernel limits the length of a path.
 */
export function sparePath(path: string): string {
  const name = nodeCrypto().randomInt(36 ** DIGITS).toString(36).padStart(DIGITS, "0");
  return join(dirname(path), `.${name}`);
}

/** Returns whether `spare` can be a spare path of `path`. */
export function isSparePathOf(spare: string, path: string): boolean {
  const name = basename(spare);
  return /^\.[0-9a-z]{6}$/.test(name) && spare === join(dirname(path), name);
}

/**
 * Binds a unix socket at a spare path, and then links the file of the socket to `path`. When a runtime
 * closes a socket, the runtime removes the file at the path where the socket was bound. Without a spare
 * path, that would be the file that the clients of a successor look for.
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
