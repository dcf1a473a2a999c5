import { realpathSync } from "node:fs";
import process from "node:process";
import { deno } from "../api/deno.ts";
import { readVariable } from "./variables.ts";

/** The folder this process was in when this module was loaded, before it may have gone elsewhere. */
const folder = folderNow();

/**
 * The folder this process was started in, by the path by which it came there, if the shell has told.
 * Not known on Deno without the permission to read it, or where it has been removed.
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

/** Reports whether a folder may be read, without asking the user. */
function mayRead(): boolean {
  if (!("deno" in process.versions)) return true;
  return deno().permissions.querySync({ name: "read", path: "." }).state === "granted";
}
