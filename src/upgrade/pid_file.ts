import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

/**
 * Writes the number of this process beside the file, and returns what puts it in its place: in one
 * step, so that a reader never finds half of it or nothing.
 */
export function draftPidFile(path: string): () => void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${process.pid}\n`);
  return () => {
    try {
      renameSync(draft, path);
    } catch (error) {
      rmSync(draft, { force: true });
      throw error;
    }
  };
}

/** Removes the file, unless a successor has put its own number there. */
export function removePidFile(path: string): void {
  try {
    if (Number(readFileSync(path, "utf8")) === process.pid) rmSync(path);
  } catch {
    // Gone already: it is nobody's.
  }
}
