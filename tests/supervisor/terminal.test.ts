/** `graceful run` on a terminal: Ctrl-C, the prompt, and a terminal that goes away. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { installed } from "../../support/installed.ts";
import { freePort, isFree } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { commandOf, isRunning, Program } from "../support/process.ts";
import { STARTED } from "../support/supervised.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** The prompt of a shell, for root and for other users. Some shells take no other one from the environment. */
const PROMPT = /[#$] /;

/** A worker that counts what it gets, and ends a while after the first. */
const COUNTING = `
  trap 'echo "got SIGINT"; stop=1' INT
  trap 'echo "got SIGTERM"; stop=1' TERM
  echo "worker: $$;"
  while [ -z "$stop" ]; do sleep 0.05; done
  left=10
  while [ $left -gt 0 ]; do sleep 0.05; left=$((left - 1)); done
  echo "worker ends"
`;

/** A shell on a terminal, and what is typed into it. */
class Terminal {
  readonly program: Program;

  constructor() {
    const env = { ...process.env, TERM: "dumb", NO_COLOR: "1" };
    this.program = new Program(
      spawn("script", ["--quiet", "--command", "sh -i", "/dev/null"], {
        env,
        stdio: ["pipe", "pipe", "pipe"],
      }),
      STARTED,
    );
  }

  type(text: string): void {
    this.program.child.stdin!.write(text);
  }

  says(pattern: RegExp): Promise<string> {
    return deadline(this.program.says(pattern), SOON);
  }

  /** Starts a service in it, and resolves with the process ids of the supervisor and the worker. */
  async run(port: number): Promise<number[]> {
    await this.says(PROMPT);
    const pidFile = join(temporaryFolder(), "pid");
    const script = join(temporaryFolder(), "worker.sh");
    writeFileSync(script, COUNTING);
    const words = [
      ...commandOf(CLI),
      "run",
      `--listen=127.0.0.1:${port}`,
      `--pid-file=${pidFile}`,
      "--",
      "sh",
      script,
    ];
    this.type(`${words.map((word) => `'${word}'`).join(" ")}\n`);
    const worker = Number(await this.says(/worker: (\d+);/));
    return [Number(readFileSync(pidFile, "utf8")), worker];
  }
}

function testOnTerminal(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}, on a terminal] ${what}`;
  if (process.platform === "linux" && installed("script") !== undefined) test(name, run);
  else test(`${name} (skipped: script of util-linux is not installed)`, { skip: true });
}

testOnTerminal(
  "graceful run ends with Ctrl-C, tells its workers once, and the prompt is back",
  async () => {
    const terminal = new Terminal();
    const port = await freePort();
    const pids = await terminal.run(port);
    terminal.type("\x03");
    await terminal.says(/all workers have ended, exit code 0/);
    terminal.type("echo code: $?\n");
    await terminal.says(/code: 0/);
    assertEquals(terminal.program.output.match(/got SIG\w+/g), ["got SIGINT"]);
    assertEquals(pids.filter(isRunning), []);
    assertEquals(await isFree(port), true);
    terminal.type("exit\n");
    await deadline(terminal.program.exit, SOON);
  },
);

testOnTerminal("graceful run ends when the terminal goes away, and so do its workers", async () => {
  const terminal = new Terminal();
  const port = await freePort();
  const pids = await terminal.run(port);
  // The terminal alone: the workers must hear of it from the supervisor.
  terminal.program.signal("SIGKILL");
  await until(() => `processes ${pids} run`, () => pids.some(isRunning) ? undefined : true);
  // The `sleep` of the worker may have outlived the worker.
  await until(() => `port ${port} is in use`, async () => await isFree(port) || undefined);
});
