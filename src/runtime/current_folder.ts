import { realpathSync } from "node:fs";
import process from "node:process";
import { deno } from "./deno_types.ts";
import { readVariable } from "./environment.ts";

/**
 * The folder this process is in, by the path by which it came there, if the shell has told. Not
 * known on Deno without the permission to read it.
 */
export function currentFolder(): string | undefined {
  const path = readVariable("PWD");
  if (!mayRead(path)) return undefined;
  const folder = process.cwd();
  return path !== undefined && isPathOf(folder, path) ? path : folder;
}

function isPathOf(folder: string, path: string): boolean {
  try {
    return realpathSync(path) === folder;
  } catch {
    return false;
  }
}

/** Asked without asking the user. */
function mayRead(path: string | undefined): boolean {
  if (!("deno" in process.versions)) return true;
  return deno().permissions.querySync({ name: "read", path }).state === "granted";
}
