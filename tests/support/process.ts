import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtime } from "./fixture.ts";

const running = new Set<Program>();
const killAll = () => {
  for (const program of running) program.kill();
};
after(killAll);
// Bun runs the hook after the first of the files alone that use this one.
process.on("exit", killAll);

/** A program of tests/programs/, run by the runtime that runs the tests. */
export class Program {
  readonly child: ChildProcess;
  /** Resolves with the exit code, or with the signal that killed it. */
  readonly exit: Promise<number | string>;
  /** Everything it has written, on both streams. */
  output = "";
  /** What it has written on standard output alone. */
  stdout = "";
  readonly #started: RegExp | null;
  #wake = Promise.withResolvers<void>();
  #exited = false;

  /**
   * `started` matches what the program writes about each process that it starts. There is none for a program in a PID
   * namespace of its own, whose numbers mean other processes here.
   */
  constructor(child: ChildProcess, started: RegExp | null = /^starts: (\d+)/gm) {
    this.child = child;
    this.#started = started;
    running.add(this);
    for (const stream of [child.stdout, child.stderr]) {
      // One that goes elsewhere.
      if (stream === null) continue;
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        this.output += text;
        if (stream === child.stdout) this.stdout += text;
        this.#changed();
      });
    }
    // Its streams end after it: then the output is complete.
    this.exit = once(child, "close").then(([code, signal]) => {
      running.delete(this);
      this.#exited = true;
      this.#changed();
      return code ?? signal;
    });
  }

  /** Sends a signal. Not `child.kill`, after which Deno takes any end for that signal's doing. */
  signal(name: NodeJS.Signals): void {
    process.kill(this.child.pid!, name);
  }

  /** Ends it, and what it has started, by the numbers that these have written. */
  kill(): void {
    this.child.kill("SIGKILL");
    if (this.#started === null) return;
    for (const [, pid] of this.output.matchAll(this.#started)) {
      if (isRunning(Number(pid))) process.kill(Number(pid), "SIGKILL");
    }
  }

  /** Waits for the pattern, and returns its first group. */
  async says(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.output);
      if (match !== null) return match[1] ?? match[0];
      if (this.#exited) throw new Error(`It ended before it said ${pattern}:\n${this.output}`);
      await this.#wake.promise;
    }
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

/**
 * Whether there is such a process. A zombie is none: whose parent has ended before it waits for the
 * system's first process, which takes its time.
 */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return stateOf(pid) !== "Z";
  } catch {
    return false;
  }
}

/** Its letter in `/proc`: `Z` is a zombie. Undefined if there is no such process, or no `/proc`. */
export function stateOf(pid: number): string | undefined {
  try {
    return /^\d+ \(.*\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** How a program of a file is started by a runtime. `permissions` are Deno's. */
export function commandOf(
  file: string,
  permissions: readonly string[] = ["--allow-all"],
): [string, ...string[]] {
  // Without the last one Deno warns a program that listens to the signal of a request.
  const options = ["run", "--no-check", "--no-prompt", "--unstable-no-legacy-abort"];
  const flags = runtime === "deno" ? [...options, ...permissions] : [];
  return [process.execPath, ...flags, file];
}

/**
 * Starts a program. `permissions` are Deno's, which the other runtimes do without; `env` comes on top
 * of the environment.
 */
export function run(
  name: string,
  args: readonly string[],
  permissions: readonly string[] = ["--allow-all"],
  env: NodeJS.ProcessEnv = {},
): Program {
  const file = fileURLToPath(new URL(`../programs/${name}`, import.meta.url));
  const [command, ...flags] = commandOf(file, permissions);
  return new Program(
    spawn(command, [...flags, ...args], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
}
