import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtime } from "./fixture.ts";

const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill("SIGKILL");
});

/** A program of tests/programs/, run by the runtime that runs the tests. */
export class Program {
  readonly child: ChildProcess;
  /** Resolves with the exit code, or with the signal that killed it. */
  readonly exit: Promise<number | string>;
  /** Everything it has written, on both streams. */
  output = "";
  #wake = Promise.withResolvers<void>();
  #exited = false;

  constructor(child: ChildProcess) {
    this.child = child;
    running.add(child);
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        this.output += text;
        this.#changed();
      });
    }
    // Its streams end after it: then the output is complete.
    this.exit = once(child, "close").then(([code, signal]) => {
      running.delete(child);
      this.#exited = true;
      this.#changed();
      return code ?? signal;
    });
  }

  /** Sends a signal. Not `child.kill`, after which Deno takes any end for that signal's doing. */
  signal(name: NodeJS.Signals): void {
    process.kill(this.child.pid!, name);
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

/** Starts a program. `permissions` are Deno's, which the other runtimes do without. */
export function run(
  name: string,
  args: readonly string[],
  permissions: readonly string[] = ["--allow-all"],
): Program {
  const file = fileURLToPath(new URL(`../programs/${name}`, import.meta.url));
  const flags = runtime === "deno" ? ["run", "--no-check", "--no-prompt", ...permissions] : [];
  return new Program(
    spawn(process.execPath, [...flags, file, ...args], { stdio: ["ignore", "pipe", "pipe"] }),
  );
}
