/** Where the runtimes are, and how they are started. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The name of a runtime. */
export type Runtime = "node" | "deno" | "bun";

/** All of them. */
export const RUNTIMES: readonly Runtime[] = ["node", "deno", "bun"];

/** The options that run a file, with a garbage collector that can be called. */
const RUN: Readonly<Record<Runtime, readonly string[]>> = {
  node: ["--expose-gc"],
  deno: [
    "run",
    "--allow-net",
    "--allow-ffi",
    "--allow-read",
    "--allow-env",
    "--v8-flags=--expose-gc",
  ],
  bun: ["run"],
};

/** The command that runs a file of this folder, as a program and its arguments. */
export function commandOf(runtime: Runtime, file: string): [string, ...string[]] {
  return [programOf(runtime), ...RUN[runtime], fileURLToPath(new URL(file, import.meta.url))];
}

/** The version of a runtime, such as "node 26.10.0". */
export function versionOf(runtime: Runtime): string {
  const output = execFileSync(programOf(runtime), ["--version"], { encoding: "utf8" });
  return `${runtime} ${/\d+\.\d+\.\d+\S*/.exec(output)?.[0] ?? "of an unknown version"}`;
}

/** The one that is installed here, or else the one that the machine has. */
function programOf(runtime: Runtime): string {
  const installed = fileURLToPath(new URL(`../node_modules/.bin/${runtime}`, import.meta.url));
  return existsSync(installed) ? installed : runtime;
}
