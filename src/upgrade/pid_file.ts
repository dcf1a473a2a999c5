import { randomUUID } from "node:crypto";
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

/** Returns the content of the file. */
const text = () => `${process.pid}\n`;

/**
 * Writes the number of this process beside the file, to a new file that nobody can have put there.
 * `publish` puts it in its place, in one step, so that a reader never finds half of it or nothing;
 * `discard` removes it if that has not been done.
 */
export function draftPidFile(path: string): { publish(): void; discard(): void } {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, text(), { flag: "wx", mode: 0o644 });
  return {
    publish: () => renameSync(draft, path),
    discard: () => rmSync(draft, { force: true }),
  };
}

/** Removes the file, unless it has the number of a successor, or is no PID file. */
export function removePidFile(path: string): void {
  try {
    if (read(path) === text()) rmSync(path);
  } catch {
    // Gone already: it is nobody's.
  }
}

/** Reads no more than a PID file has, and only of a regular file: links are not followed, pipes not waited for. */
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
