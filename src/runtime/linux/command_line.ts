import { readFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { UpgradeError } from "../../core/errors.ts";
import { openLibC } from "./libc.ts";
import { linesOf } from "./proc_files.ts";

/**
 * Returns the command that this process was started with. The command that the system reports comes first,
 * if it is still whole, because its relative paths are still relative.
 */
export function commandLine(): string[] {
  const given = givenCommand();
  if (isWhole(given)) return given;
  if (!("deno" in process.versions)) {
    return [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  }
  // Deno does not report its own command-line options, which include the permissions.
  throw new UpgradeError(
    "Cannot upgrade as 'command' must be given: the command of this process cannot be read, because the " +
      "system does not report it, Deno lacks the permission 'ffi', or the process has set its title",
  );
}

/**
 * Reports whether a command still ends with the program and the arguments of this process. A process that
 * sets its title overwrites its command.
 */
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
