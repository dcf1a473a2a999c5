import { type ChildProcess, execFile, spawn } from "node:child_process";
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

/** How long a program may take from its start to its end, in ms, before it is killed. */
const LIFETIME = 12_000;

/** server.ts as a process of its own, on one runtime. */
export class Program {
  /** The runtime and its version. */
  readonly name: string;
  /** The port on which it listens. */
  readonly port: number;
  /** Resolves with its exit code, or the signal that ended it. */
  readonly exit: Promise<number | string>;
  readonly #child: ChildProcess;
  readonly #log: readonly string[];

  private constructor(name: string, port: number, { child, exit, log }: Started) {
    this.name = name;
    this.port = port;
    this.exit = exit;
    this.#child = child;
    this.#log = log;
  }

  /** Resolves when it listens. */
  static async start({ name, args }: Runtime): Promise<Program> {
    const binary = fileURLToPath(import.meta.resolve(`../../node_modules/.bin/${name}`));
    const { stdout } = await promisify(execFile)(binary, ["--version"]);
    const version = stdout.match(/\d+\.\d+\.\d+/)?.[0] ?? "";
    const server = fileURLToPath(import.meta.resolve("./server.ts"));
    const started = start(binary, [...args, server]);
    return new Program(`${name} ${version}`, await portOf(name, started), started);
  }

  /** What it has written to stderr. */
  get log(): string {
    return this.#log.join("");
  }

  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

interface Started {
  readonly child: ChildProcess;
  readonly exit: Promise<number | string>;
  readonly log: string[];
}

function start(binary: string, args: readonly string[]): Started {
  const child = spawn(binary, args, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIFETIME,
    killSignal: "SIGKILL",
  });
  // However this process ends, the other one must not outlive it.
  process.on("exit", () => child.kill("SIGKILL"));
  const log: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => log.push(text));
  const exit = once(child, "close").then(([code, signal]) => code ?? signal);
  return { child, exit, log };
}

/** The server says its URL when it listens. */
async function portOf(name: string, { child, exit, log }: Started): Promise<number> {
  const died = exit.then((end) => {
    throw new Error(`${name} has ended with ${end} before it listened:\n${log.join("")}`);
  });
  const line = once(createInterface(child.stdout), "line");
  const [url] = await Promise.race([line, died]);
  return Number(new URL(url).port);
}
