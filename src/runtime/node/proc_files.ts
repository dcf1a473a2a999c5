/** Linux's `/proc`, read with `node:fs`. */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";

/** The number of bytes that are read at once: what the kernel writes at once. */
const PAGE = 4_096;

/** Returns the text of a file; an empty one if this kernel does not have the file. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Yields the lines of a file, read no further than they are asked for; none if the file is not there. */
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

/** Returns what a descriptor of this process leads to; an empty text if it is not open. */
export function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/** Returns the number that the tables of the kernel have for the socket of a descriptor. */
export function inodeOf(fd: number): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(linkOf(fd))?.[1];
}
