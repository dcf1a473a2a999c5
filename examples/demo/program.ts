import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** What to run server.ts on. */
export interface Runtime {
  readonly name: string;
  /** What stands before the program on its command line. */
  readonly args: readonly string[];
}

/** All three. */
export const runtimes: readonly Runtime[] = [
  { name: "node", args: [] },
  { name: "deno", args: ["run", "--allow-net"] },
  { name: "bun", args: [] },
];

/** server.ts as a process of its own. */
export interface Program {
  /** Of the runtime. */
  readonly name: string;
  readonly version: string;
  /** The port on which it listens. */
  readonly port: number;
  /** Sends SIGTERM. */
  terminate(): void;
  /** Resolves with its exit code, or else with the signal that ended it. */
  readonly exit: Promise<number | string>;
  /** What it has written to stderr. */
  log(): string;
}

/** How long a program may take from its start to its end, in ms, before it is killed. */
const LIFETIME = 12_000;

/** Starts server.ts and resolves when it listens. */
export async function startProgram({ name, args }: Runtime): Promise<Program> {
  const binary = pathOf(`../../node_modules/.bin/${name}`);
  const version = await versionOf(binary);
  const child = spawn(binary, [...args, pathOf("./server.ts")], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIFETIME,
    killSignal: "SIGKILL",
  });
  // However this process ends, its children must not outlive it.
  process.on("exit", () => child.kill("SIGKILL"));

  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => log += text);
  const exit = once(child, "close").then(([code, signal]): number | string => code ?? signal);
  const died = exit.then((end) => {
    throw new Error(`${name} has ended with ${end} before it listened:\n${log}`);
  });
  const url = once(createInterface(child.stdout), "line");
  const [line] = await Promise.race([url, died]);
  return {
    name,
    version,
    port: Number(new URL(line).port),
    terminate: () => child.kill("SIGTERM"),
    exit,
    log: () => log,
  };
}

async function versionOf(binary: string): Promise<string> {
  const { stdout } = await promisify(execFile)(binary, ["--version"]);
  return stdout.match(/\d+\.\d+\.\d+/)?.[0] ?? "";
}

function pathOf(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}
