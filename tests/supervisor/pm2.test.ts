/** pm2, which waits for the message `"ready"` where `wait_ready` is set, and reloads in its two modes. */
import { after, test } from "node:test";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { assert, assertEquals } from "@std/assert";
import { installed } from "../../support/installed.ts";
import { freePort, isFree } from "../../support/ports.ts";
import { commandOf as workerOf, programOf } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { commandOf } from "../support/process.ts";

const execute = promisify(execFile);

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 30_000;
/** In ms: how long pm2 waits for the message. A command that resolves within {@linkcode SOON} has heard the message. */
const READY_WAIT = 120_000;

const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const WORKER = new URL("../programs/supervised.ts", import.meta.url);

/** A daemon of pm2, with one application that is named `web`. */
class Daemon {
  readonly #home = temporaryFolder();

  constructor() {
    after(() => this.#kill());
  }

  /** Runs a command of pm2, and returns what it has written. */
  async run(...words: readonly string[]): Promise<string> {
    const { stdout } = await execute(programOf("node"), [installed("pm2")!, ...words], {
      env: { ...process.env, PM2_HOME: this.#home, NO_COLOR: "1" },
      timeout: SOON,
    });
    return stdout;
  }

  async start(application: object): Promise<void> {
    const file = join(this.#home, "web.json");
    const common = { name: "web", wait_ready: true, listen_timeout: READY_WAIT };
    writeFileSync(file, JSON.stringify({ apps: [{ ...common, ...application }] }));
    await this.run("start", file);
  }

  async pids(): Promise<number[]> {
    return (await this.run("pid", "web")).trim().split("\n").map(Number);
  }

  /** What the application has written on stderr. */
  get errors(): string {
    return readFileSync(join(this.#home, "logs", "web-error.log"), "utf8");
  }

  #kill(): void {
    const file = join(this.#home, "pm2.pid");
    if (existsSync(file)) process.kill(Number(readFileSync(file, "utf8")), "SIGKILL");
  }
}

async function ask(port: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/`, {
    headers: { connection: "close" },
    signal: AbortSignal.timeout(SOON),
  });
  return Number(await response.text());
}

function planOf(port: number): string {
  const servers = [{ port, hostname: "127.0.0.1" }];
  return JSON.stringify({ servers, graceful: { idleGrace: 100 } });
}

function testUnderPm2(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}, under pm2] ${what}`;
  if (installed("pm2") !== undefined) test(name, run);
  else test(`${name} (skipped: pm2 is not installed)`, { skip: true });
}

testUnderPm2(
  "graceful run says that it is ready, keeps its process at SIGHUP, and ends at a reload",
  async () => {
    const daemon = new Daemon();
    const port = await freePort();
    const [interpreter, ...flags] = commandOf(CLI).slice(0, -1);
    await daemon.start({
      script: CLI,
      interpreter,
      interpreter_args: flags.join(" "),
      args: [
        "run",
        `--listen=127.0.0.1:${port}`,
        "--min-uptime=0.1",
        "--",
        ...workerOf(runtime, WORKER),
        planOf(port),
      ],
      kill_timeout: SOON,
      // Signals the supervisor alone.
      treekill: false,
    });
    assert(daemon.errors.includes("generation 1 serves"), daemon.errors);
    const worker = await ask(port);
    const [first] = await daemon.pids();
    assert(worker !== first);
    await daemon.run("sendSignal", "SIGHUP", "web");
    await until(
      () => "generation 2 does not serve",
      async () => await ask(port) !== worker || undefined,
    );
    assertEquals(await daemon.pids(), [first]);
    // In this mode pm2 ends the application before it starts it again.
    await daemon.run("reload", "web");
    const [second] = await daemon.pids();
    assert(second !== first);
    assert(await ask(port) > 0);
    await daemon.run("delete", "web");
    assert(await isFree(port));
    // pm2 writes what it has read a moment later.
    await until(
      () => `the service has not ended twice:\n${daemon.errors}`,
      () => daemon.errors.match(/all workers have ended, exit code 0/g)?.length === 2 || undefined,
    );
    await daemon.run("kill");
  },
);

if (runtime === "node") {
  testUnderPm2(
    "graceful() says that it is ready, and a reload in cluster mode loses no request",
    async () => {
      const daemon = new Daemon();
      const port = await freePort();
      await daemon.start({
        script: fileURLToPath(WORKER),
        exec_mode: "cluster",
        instances: 2,
        args: [planOf(port)],
        kill_timeout: SOON,
      });
      const old = await daemon.pids();
      let isOver = false;
      const seen = new Set<number>();
      const load = (async () => {
        while (!isOver) seen.add(await ask(port));
      })();
      await daemon.run("reload", "web");
      const next = await daemon.pids();
      await until(
        () => `${next} have not answered`,
        () => next.every((pid) => seen.has(pid)) || undefined,
      );
      isOver = true;
      await load;
      assertEquals(
        old.filter((pid) => next.includes(pid)),
        [],
      );
      await daemon.run("kill");
    },
  );
}
