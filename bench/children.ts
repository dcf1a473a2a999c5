/** The processes that the bench has started. None outlives the bench. */
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import process from "node:process";

const running = new Set<ChildProcess>();

// Also where the bench ends otherwise than by its last line.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(1));
}

/** A program and its arguments. */
export type Command = readonly [string, ...string[]];

/** Starts a process that ends with the bench at the latest. */
export function start(
  [program, ...args]: Command,
  options: SpawnOptions,
): ChildProcess {
  const child = spawn(program, args, options);
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Runs a process to its end, and resolves with what it has written on stdout. Rejects if it fails. */
export async function run(
  command: Command,
  options: SpawnOptions = {},
): Promise<string> {
  const child = start(command, {
    ...options,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout?.setEncoding("latin1").on(
    "data",
    (text: string) => output += text,
  );
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) {
    throw new Error(`"${command.join(" ")}" has failed with exit code ${code}`);
  }
  return output;
}
