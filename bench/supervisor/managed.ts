/**
 * Has supervisord, or the kernel as process 1 of a PID namespace, keep a service under `graceful run`, and restarts the
 * service by SIGHUP under load: how many requests fail, and whether the process stays the same throughout.
 *
 * `node bench/supervisor/managed.ts --under supervisord --runtime deno --restarts 10`
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { freePort } from "../../support/ports.ts";
import { commandOf } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import { Load } from "../restart/load.ts";
import { asCount, asRuntime } from "../restart/runtimes.ts";
import { table } from "../table.ts";
import { temporaryFolder } from "../temporary_folder.ts";

const CLI = new URL("../../src/cli/main.ts", import.meta.url);
const SERVICE = new URL("./service.ts", import.meta.url);
const WORKERS = 2;
/** How many clients open a connection for every request, and how many keep theirs alive. */
const CLIENTS = 8;
/** How long workers that drain keep idle connections, in ms. */
const IDLE_GRACE = 1_000;
/** How long the load lasts before the first restart and behind the last one, in ms. */
const MARGIN = 500;

/** A program that keeps a service running. */
interface Manager {
  /** Starts the command as a service of the manager. */
  start(command: readonly string[]): ChildProcess;
  /** Resolves with the id of the process of the service, as it is outside of a namespace. */
  pid(manager: ChildProcess): Promise<number>;
  /** Tells the manager to end the service, and itself. */
  end(manager: ChildProcess): void;
}

const configuration = () => join(temporaryFolder(), "supervisord.conf");

const MANAGERS: Readonly<Record<string, Manager>> = {
  supervisord: {
    start(command) {
      const control = join(temporaryFolder(), "control");
      writeFileSync(
        configuration(),
        `[supervisord]
nodaemon=true
user=root
logfile=/dev/null
logfile_maxbytes=0
pidfile=${join(temporaryFolder(), "pid")}
[unix_http_server]
file=${control}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://${control}
[program:web]
command=${command.join(" ")}
stopwaitsecs=25
redirect_stderr=true
stdout_logfile=/dev/null
stdout_logfile_maxbytes=0
`,
      );
      return spawn("supervisord", ["-c", configuration()], { stdio: "ignore" });
    },
    async pid() {
      const command = ["-c", configuration(), "status", "web"];
      const { stdout } = await promisify(execFile)("supervisorctl", command).catch((error) =>
        error
      );
      return Number(/RUNNING +pid (\d+)/.exec(stdout)?.[1]);
    },
    end: (manager) => void manager.kill("SIGTERM"),
  },
  pid1: {
    start: (command) =>
      spawn("unshare", ["--pid", "--fork", "--mount-proc", "--kill-child", ...command], {
        stdio: "ignore",
      }),
    pid: (manager) => Promise.resolve(childOf(manager)),
    end: (manager) => void process.kill(childOf(manager), "SIGTERM"),
  },
};

/** Returns the id of the only child of a process. */
function childOf({ pid }: ChildProcess): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
}

/** The answer to a request for `/status`, as far as it is used here. */
interface Status {
  readonly state: string;
  readonly ready: boolean;
  readonly generation: number;
  readonly workers: readonly { readonly generation: number }[];
}

/** Resolves when all workers are of a generation, and ready. */
async function serves(generation: number, health: number): Promise<void> {
  await until(() => `generation ${generation} does not serve`, async () => {
    // The cast: docs/supervisor.md describes the answer.
    const status = await fetch(`http://127.0.0.1:${health}/status`)
      .then((response) => response.json() as Promise<Status>, () => undefined);
    const isServing = status?.state === "serving" && status.ready &&
      status.workers.length === WORKERS &&
      status.workers.every((worker) => worker.generation === generation);
    return isServing || undefined;
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      under: { type: "string", default: "supervisord" },
      runtime: { type: "string", default: "node" },
      restarts: { type: "string", default: "10" },
    },
  });
  const manager = MANAGERS[values.under];
  if (manager === undefined) {
    throw new RangeError(
      `Cannot measure as '--under' must be supervisord or pid1: it is ${values.under}`,
    );
  }
  const runtime = asRuntime(values.runtime);
  const restarts = asCount("--restarts", values.restarts, 1);
  const [port, health] = [await freePort(), await freePort()];
  const child = manager.start([
    ...commandOf(runtime, CLI),
    "run",
    `--listen=127.0.0.1:${port}`,
    `--health=127.0.0.1:${health}`,
    `--workers=${WORKERS}`,
    "--",
    ...commandOf(runtime, SERVICE),
    `${port}`,
    `${IDLE_GRACE}`,
  ]);
  const ended = once(child, "exit");
  try {
    const { load, pids } = await restartUnderLoad(manager, child, { port, health, restarts });
    report(values.under, runtime, restarts, load, pids);
  } finally {
    manager.end(child);
    await ended;
  }
}

/** Restarts the service under load. Returns the load, and the ids that its process had. */
async function restartUnderLoad(
  manager: Manager,
  child: ChildProcess,
  { port, health, restarts }: { port: number; health: number; restarts: number },
): Promise<{ load: Load; pids: Set<number> }> {
  await serves(1, health);
  const pid = await until(
    () => "the service does not run",
    async () => await manager.pid(child) || undefined,
  );
  const load = new Load({ port, fresh: CLIENTS, kept: CLIENTS, freshPause: 10 });
  await wait(MARGIN);
  const pids = new Set([pid]);
  for (let generation = 2; generation <= restarts + 1; generation++) {
    process.kill(pid, "SIGHUP");
    pids.add(await manager.pid(child));
    await serves(generation, health);
    pids.add(await manager.pid(child));
  }
  await wait(MARGIN);
  await load.stop();
  return { load, pids };
}

function report(
  under: string,
  runtime: string,
  restarts: number,
  { tally: { requests, failed, messages } }: Load,
  pids: ReadonlySet<number>,
): void {
  const isSame = pids.size === 1;
  console.log(table([
    ["under", "runtime", "restarts", "requests", "failed", "the same process throughout"],
    [under, runtime, `${restarts}`, `${requests}`, `${failed}`, isSame ? "yes" : "no"],
  ]));
  if (failed > 0) console.log(messages.join("\n"));
  if (failed > 0 || !isSame) process.exitCode = 1;
}

await main();
