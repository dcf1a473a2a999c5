import { realpathSync } from "node:fs";
import process from "node:process";
import { deno } from "../api/deno.ts";
import { readVariable } from "./variables.ts";

/** The working directory when this module was loaded; the program may change its directory later. */
const folder = folderNow();

/**
 * Returns the folder in which this process was started, by the path in the variable `PWD` if that path leads
 * to the folder. Returns undefined on Deno without the permission to read the folder, or if the folder was
 * removed before this module was loaded.
 */
export function startFolder(): string | undefined {
  const path = readVariable("PWD");
  return folder !== undefined && path !== undefined && isPathOf(folder, path) ? path : folder;
}

function folderNow(): string | undefined {
  try {
    return mayRead() ? process.cwd() : undefined;
  } catch {
    return undefined;
  }
}

function isPathOf(folder: string, path: string): boolean {
  try {
    return realpathSync(path) === folder;
  } catch {
    return false;
  }
}

/** Reports whether Deno may read the working directory, without asking the user. Other runtimes always may. */
function mayRead(): boolean {
  if (!("deno" in process.versions)) return true;
  return deno().permissions.querySync({ name: "read", path: "." }).state === "granted";
}

/** Returns the folder that a path leads to now; the path itself if there is no such folder, or it cannot be read. */
export function realFolder(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
