import process from "node:process";
import { UpgradeError } from "../../core/errors.ts";
import { printable } from "../../core/printable.ts";
import { isStandalone } from "../host/standalone.ts";
import { procFile } from "./proc_files.ts";

/**
 * Returns the command that this process was started with. The command that the system reports comes first, because it
 * is what was typed: relative paths are still relative, and `node .` still reads `package.json`. Without it the
 * command is a guess, and a warning says so.
 */
export function commandLine(): string[] {
  const given = procFile("/proc/self/cmdline").split("\0").slice(0, -1);
  if (isWhole(given)) return given;
  if ("deno" in process.versions && !isStandalone()) {
    // Deno does not report its own command-line options, which include the permissions.
    throw new UpgradeError(
      "Cannot upgrade as 'command' must be given: the command of this process cannot be read, because the " +
        "system does not report it, Deno lacks the permission 'ffi', or the process has set its title",
    );
  }
  const guess = guessed();
  console.warn(
    `The system does not report the command of this process, which has probably set its title. ` +
      `The new process is started with "${
        printable(guess.join(" "))
      }": give 'command' to an Upgrader if ` +
      `that is another release`,
  );
  return guess;
}

/**
 * Reports whether a command still has the program and ends with the arguments of this process. A process that sets
 * its title overwrites its command.
 */
function isWhole(given: readonly string[]): boolean {
  const args = process.argv.slice(2);
  const start = given.slice(0, given.length - args.length);
  return start.length >= (isStandalone() ? 1 : 2) && !start.includes("") &&
    args.every((arg, index) => given[start.length + index] === arg);
}

function guessed(): string[] {
  const args = process.argv.slice(2);
  // The system marks a program that was replaced at its path since.
  const program = process.execPath.replace(/ \(deleted\)$/, "");
  if (isStandalone()) return [program, ...args];
  return [program, ...process.execArgv, ...process.argv.slice(1)];
}
