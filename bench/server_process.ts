import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Engine } from "../mod.ts";
import type { HandlerName } from "./handlers.ts";
import { programOf, type Runtime } from "../support/runtimes.ts";
import type { Kind, Usage } from "./server.ts";

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
function commandOf(runtime: Runtime, file: string): [string, ...string[]] {
  return [programOf(runtime), ...RUN[runtime], fileURLToPath(new URL(file, import.meta.url))];
}

/** What is to be run. */
export interface ServerSpec {
  readonly runtime: Runtime;
  readonly engine: "auto" | Engine;
  readonly handler: HandlerName;
}

const running = new Set<ChildProcess>();

// Also when this process is about to end in another way than by its last line.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** A server in a process of its own. */
export class ServerProcess implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, port: number) {
    this.#child = child;
    this.#lines = lines;
    this.port = port;
  }

  /** Resolves once it listens. */
  static async start(kind: Kind, { runtime, engine, handler }: ServerSpec): Promise<ServerProcess> {
    const [program, ...options] = commandOf(runtime, "server.ts");
    const child = spawn(program, [...options, kind, engine, handler], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    running.add(child);
    child.once("exit", () => running.delete(child));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return new ServerProcess(child, lines, Number(await nextLine(lines)));
  }

  /** What it has used so far. */
  async usage(): Promise<Usage> {
    return await this.#ask("usage");
  }

  /** What it uses after a garbage collection. */
  async memory(): Promise<Usage> {
    return await this.#ask("memory");
  }

  async #ask(command: string): Promise<Usage> {
    this.#child.stdin?.write(`${command}\n`);
    return JSON.parse(await nextLine(this.#lines));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!running.has(this.#child)) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin?.end();
    await gone;
  }
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done) throw new Error("A server has ended before it was told to");
  return value;
}
