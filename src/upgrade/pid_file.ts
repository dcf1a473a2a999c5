import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { nodeCrypto } from "../core/builtins.ts";

/** Returns the content of the PID file of this process. */
const text = () => `${process.pid}\n`;

/**
 * Writes the id of this process to a new file beside the PID file, at a path that nobody can guess. `publish` moves
 * the new file to its place in one step, so that a reader never finds a part of the content or no file. `discard`
 * removes the new file if it was not published.
 */
export function draftPidFile(path: string): { publish(): void; discard(): void } {
  const draft = `${path}.${nodeCrypto().randomUUID()}`;
  writeFileSync(draft, text(), { flag: "wx", mode: 0o644 });
  return {
    publish: () => renameSync(draft, path),
    discard: () => rmSync(draft, { force: true }),
  };
}

/** Writes the PID file of this process, and leaves nothing behind if it cannot be written. */
export function writePidFile(path: string): void {
  const draft = draftPidFile(path);
  try {
    draft.publish();
  } finally {
    draft.discard();
  }
}

/** Removes the PID file, unless it holds the id of a successor, or is not a PID file. */
export function removePidFile(path: string): void {
  try {
    if (read(path) === text()) rmSync(path);
  } catch {
    // The file is gone or cannot be read, so it does not belong to this process.
  }
}

/**
 * Returns the content of a regular file, up to the length of a PID file and a byte more. Links are not followed, and
 * a pipe is not waited for.
 */
function read(path: string): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) return "";
    const bytes = new Uint8Array(text().length + 1);
    return new TextDecoder().decode(bytes.subarray(0, readSync(file, bytes)));
  } finally {
    closeSync(file);
  }
}
