/** The line with which a process tells the process that has started it that it is ready. */
import type { Readable } from "node:stream";

/** The line that a process writes when it is ready; nothing else may come before it. */
export const READY = "ready\n";

/**
 * Reads a pipe, and calls `ready` when the line has arrived, or `wrong` with the beginning of anything else. Without a
 * pipe neither function is called.
 */
export function onReadyLine(
  pipe: Readable | undefined,
  ready: () => void,
  wrong: (said: string) => void,
): void {
  let said = "";
  pipe?.on("data", (chunk: unknown) => {
    // Nothing longer than the expected line is kept.
    said = (said + String(chunk)).slice(0, READY.length);
    if (said === READY) ready();
    else if (!READY.startsWith(said)) wrong(said);
  });
  // The process is about to end, and its exit code is more informative.
  pipe?.on("error", () => {});
}
