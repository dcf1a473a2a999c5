import { readFileSync } from "node:fs";
import process from "node:process";
import { openLibC } from "./libc.ts";
import { linesOf } from "./proc_files.ts";

/**
 * The command that this process was started with: as it was given, if the system still knows it,
 * so that what was relative then is relative now.
 */
export function commandLine(): string[] {
  const args = process.argv.slice(2);
  const given = givenCommand();
  // A process that has set its title has written over it.
  const isWhole = given.length > args.length &&
    args.every((arg, index) => given.at(index - args.length) === arg);
  return isWhole ? given : [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
}

function givenCommand(): string[] {
  return readCommand().split("\0").slice(0, -1);
}

function readCommand(): string {
  const path = "/proc/self/cmdline";
  if ("deno" in process.versions) {
    const libc = openLibC();
    return libc === undefined ? "" : [...linesOf(libc, path)].join("\n");
  }
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
