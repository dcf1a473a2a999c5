import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

/**
 * Writes the number of this process beside the file. `publish` puts it in its place, in one step, so
 * that a reader never finds half of it or nothing; `discard` removes it if that has not been done.
 */
export function draftPidFile(path: string): { publish(): void; discard(): void } {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${process.pid}\n`);
  return {
    publish: () => renameSync(draft, path),
    discard: () => rmSync(draft, { force: true }),
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
