import { statSync } from "node:fs";
import { printable } from "../../core/printable.ts";

/** Reports whether nothing exists at a path. False if that cannot be found out. */
export function isMissing(folder: string): boolean {
  try {
    return statSync(folder, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

/** Returns why no process can be started in a folder. The system blames the program, which is not missing. */
export function missingFolder(folder: string): string {
  return `the folder to start it in does not exist: ${printable(folder)}`;
}
