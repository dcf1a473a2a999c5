#!/usr/bin/env node
/**
 * The command `graceful`. `graceful run` starts a supervisor, see `@x/graceful/supervisor`.
 *
 * @module
 */
import process from "node:process";
import { printable } from "../core/printable.ts";
import { checkNodeVersion } from "../runtime/host/node_version.ts";
import { supervise } from "../supervisor/mod.ts";
import { type CommandRequest, parseArguments } from "./arguments.ts";
import { USAGE } from "./usage.ts";

/** The exit code of a command with wrong arguments. */
const MISUSE = 2;
/**
 * The number of milliseconds after the end of the service at which the process is ended, if something still
 * keeps it alive.
 */
const EXIT = 1_000;

refuseOldNode();
const request = requestOf(process.argv.slice(2));
if (request.what === "help") process.stdout.write(USAGE);
else await run(request);

function refuseOldNode(): void {
  try {
    checkNodeVersion();
  } catch (error) {
    console.error(messageOf(error));
    process.exit(1);
  }
}

function requestOf(args: readonly string[]): CommandRequest {
  try {
    return parseArguments(args);
  } catch (error) {
    console.error(`${messageOf(error)}\nSee "graceful --help".`);
    process.exit(MISUSE);
  }
}

async function run({ options }: CommandRequest & { what: "run" }): Promise<void> {
  try {
    const supervisor = await supervise(options);
    // A signal that arrives after the end of the service must not change the exit code.
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
    const { exitCode } = await supervisor.finished;
    process.exitCode = exitCode;
  } catch (error) {
    console.error(messageOf(error));
    process.exitCode = 1;
  }
  setTimeout(() => process.exit(), EXIT).unref();
}

/** Returns the message of an error without the stack, which is of no use to whoever runs the command. */
function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error));
}
