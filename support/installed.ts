import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Where npm puts the programs that package.json pins: before the machine's own. */
const pinned = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));

/** Where HAProxy is, as a rule: not in everybody's PATH. */
const SYSTEM = "/usr/sbin";

/** The path of a program; undefined where it is not installed. */
export function installed(program: string): string | undefined {
  const folders = [pinned, ...(process.env["PATH"] ?? "").split(delimiter), SYSTEM];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
