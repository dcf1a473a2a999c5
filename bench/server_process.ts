import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { programOf, type Runtime } from "../support/runtimes.ts";
import { type Command, start } from "./children.ts";
import type { Contestant } from "./contestants.ts";
import { goServer } from "./go.ts";
import type { Drains, Shutdown, Usage } from "./servers/commands.ts";

/** The options that run a file, with a garbage collector that can be called. */
const RUN: Readonly<Record<Runtime, readonly string[]>> = {
  node: ["--expose-gc"],
  deno: ["run", "--allow-all", "--no-check", "--v8-flags=--expose-gc"],
  bun: ["run"],
};

async function commandOf({ platform, module }: Contestant): Promise<Command> {
  if (platform === "go") return [await goServer()];
  const file = fileURLToPath(new URL("servers/main.ts", import.meta.url));
  return [programOf(platform), ...RUN[platform], file, module];
}

/** A server in a process of its own. */
export class ServerProcess implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #gone: Promise<unknown>;

  private constructor(
    child: ChildProcess,
    lines: AsyncIterator<string>,
    port: number,
  ) {
    this.#child = child;
    this.#lines = lines;
    this.port = port;
    this.#gone = new Promise((resolve) => child.once("close", resolve));
  }

  /** Resolves once the server listens. */
  static async start(contestant: Contestant): Promise<ServerProcess> {
    const child = start(await commandOf(contestant), {
      stdio: ["pipe", "pipe", "inherit"],
    });
    // The cast: stdout is a pipe.
    const lines = createInterface({ input: child.stdout! })
      [Symbol.asyncIterator]();
    return new ServerProcess(child, lines, Number(await nextLine(lines)));
  }

  /** What the process has used so far. */
  async usage(): Promise<Usage> {
    return await this.#ask("usage");
  }

  /** What the process uses after a garbage collection. */
  async memory(): Promise<Usage> {
    return await this.#ask("memory");
  }

  /** Drains fresh servers, so many of them or until the time in ms is used up. */
  async drain(runs: number, budget: number): Promise<Drains> {
    return await this.#ask(`drain ${runs} ${budget}`);
  }

  /** Resolves when that many requests to `/wait` are in flight. */
  async waiting(requests: number): Promise<void> {
    await this.#ask(`waiting ${requests}`);
  }

  /** Shuts the server down; the requests in flight are answered after 300 ms. */
  async shutdown(): Promise<Shutdown> {
    return await this.#ask("shutdown");
  }

  // Each caller says by its type which command it has sent.
  async #ask<Answer>(command: string): Promise<Answer> {
    this.#child.stdin?.write(`${command}\n`);
    return JSON.parse(await nextLine(this.#lines));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A server that is stuck in a shutdown does not look at its stdin.
    this.#child.kill("SIGKILL");
    await this.#gone;
  }
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done) throw new Error("A server has ended before it was told to");
  return value;
}
