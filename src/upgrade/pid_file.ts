import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

/** Writes the number of this process, so that a reader never finds half of it or nothing. */
export function writePidFile(path: string): void {
  const draft = `${path}.${process.pid}`;
  try {
    writeFileSync(draft, `${process.pid}\n`);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Removes the file, unless a successor has put its own number there. */
export function removePidFile(path: string): void {
  try {
    if (Number(readFileSync(path, "utf8")) === process.pid) rmSync(path);
  } catch {
    // Gone already: it is nobody's.
  }
}
