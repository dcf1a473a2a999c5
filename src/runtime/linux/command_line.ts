import { readFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { UpgradeError } from "../../core/errors.ts";
import { openLibC } from "./libc.ts";
import { linesOf } from "./proc_files.ts";

/**
 * The command that this process was started with: as it was given, if the system still knows it,
 * so that what was relative then is relative now.
 */
export function commandLine(): string[] {
  const given = givenCommand();
  if (isWhole(given)) return given;
  if (!("deno" in process.versions)) {
    return [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  }
  // Deno does not tell its options, the permissions among them.
  throw new UpgradeError(
    "Cannot upgrade as 'command' must be given where the system does not tell the command of this " +
      "process, as where that has set its title: current value is undefined",
  );
}

/** A process that has set its title has written over it: the program and its arguments must be there. */
function isWhole(given: readonly string[]): boolean {
  const [, program = "", ...args] = process.argv;
  const [named = "", ...rest] = given.slice(-args.length - 1);
  return given.length > args.length + 1 && named !== "" && program.endsWith(basename(named)) &&
    args.every((arg, index) => rest[index] === arg);
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
