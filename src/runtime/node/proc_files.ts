/** Functions that read Linux's `/proc` with `node:fs`. */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";

/** The number of bytes per read. The kernel produces `/proc` files in chunks of this size. */
const PAGE = 4_096;

/** Returns the text of a file, or an empty string if the file cannot be read. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/**
 * Yields the lines of a file, and reads the file only as far as needed. Yields nothing if the file cannot
 * be opened.
 */
export function* linesOf(path: string): Generator<string> {
  const file = openedOrNot(path);
  if (file === undefined) return;
  try {
    const buffer = new Uint8Array(PAGE);
    let rest = "";
    for (let size; (size = readSync(file, buffer)) > 0;) {
      const lines = (rest + new TextDecoder().decode(buffer.subarray(0, size))).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
  } finally {
    closeSync(file);
  }
}

function openedOrNot(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined;
  }
}

/** Returns the target of a descriptor of this process, or an empty string if the descriptor is not open. */
export function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/**
 * Returns the inode of the socket of a descriptor, which identifies the socket in the tables of the kernel.
 */
export function inodeOf(fd: number): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(linkOf(fd))?.[1];
}
