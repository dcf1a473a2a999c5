import process from "node:process";
import { deno } from "../api/deno.ts";

/** The folders in which `bun build --compile` puts the program: on Linux and macOS, and on Windows. */
const FOLDERS_OF_BUN: readonly string[] = ["/$bunfs/", "B:/~BUN/", "B:\\~BUN\\"];

/**
 * Reports whether this process runs a single executable that contains the program, made by `bun build
 * --compile`, `deno compile` or Node (SEA). The command of such a process does not name a program file.
 */
export function isStandalone(): boolean {
  if ("deno" in process.versions) return deno().build.standalone;
  if ("bun" in process.versions) {
    return FOLDERS_OF_BUN.some((folder) => process.argv[1]?.startsWith(folder));
  }
  return process.getBuiltinModule("node:sea").isSea();
}
