/** The folder of what is built for a run. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

let folder: string | undefined;

/** The one folder of this process, which is removed with the end of the process. */
export function temporaryFolder(): string {
  return folder ??= make();
}

function make(): string {
  const made = mkdtempSync(join(tmpdir(), "graceful-bench-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  return made;
}
