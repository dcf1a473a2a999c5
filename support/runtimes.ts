/** The runtimes, and where they are. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The name of a runtime. */
export type Runtime = "node" | "deno" | "bun";

/** All of them. */
export const RUNTIMES: readonly Runtime[] = ["node", "deno", "bun"];

/** The one that runs this. */
export const currentRuntime: Runtime = "deno" in process.versions
  ? "deno"
  : "bun" in process.versions
  ? "bun"
  : "node";

/** The options that run a file. Deno's SO_REUSEPORT is unstable. */
const RUN: Readonly<Record<Runtime, readonly string[]>> = {
  node: [],
  deno: ["run", "--allow-all", "--no-check", "--unstable-net"],
  bun: ["run"],
};

/** The command that runs a file, with all permissions. */
export function commandOf(runtime: Runtime, file: URL): [string, ...string[]] {
  return [programOf(runtime), ...RUN[runtime], fileURLToPath(file)];
}

/** The version of a runtime, such as "node 26.10.0". */
export function versionOf(runtime: Runtime): string {
  const output = execFileSync(programOf(runtime), ["--version"], { encoding: "utf8" });
  return `${runtime} ${/\d+\.\d+\.\d+\S*/.exec(output)?.[0] ?? "of an unknown version"}`;
}

/** The one that is installed here, or else the one that the machine has. */
export function programOf(runtime: Runtime): string {
  const installed = fileURLToPath(new URL(`../node_modules/.bin/${runtime}`, import.meta.url));
  return existsSync(installed) ? installed : runtime;
}
