import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import type { SupervisorStatus } from "../../src/supervisor/mod.ts";
import { connect, type RawClient, request as requestText } from "../../support/client.ts";
import { freePort } from "../../support/ports.ts";
import { commandOf as workerOf, type Runtime } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import type { Plan } from "../programs/supervised.ts";
import { runtime, temporaryFolder } from "./fixture.ts";
import { commandOf, isRunning, Program } from "./process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
export const SOON = 20_000;

const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
/** The line about a worker that was started. */
export const STARTED: RegExp = /\(process (\d+)\) was started/g;
const WORKER = new URL("../programs/supervised.ts", import.meta.url);

/** How a service is started. */
export interface ServiceOptions {
  /** Options of `graceful run`, besides those that are always given. */
  readonly args?: readonly string[];
  /** Whether the supervisor listens at the port: true by default. */
  readonly listens?: boolean;
  /** The runtime of the workers: that of the tests by default. */
  readonly worker?: Runtime;
  readonly graceful?: Plan["graceful"];
  /** Another command than that of tests/programs/supervised.ts. */
  readonly command?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** What starts the supervisor, in a PID namespace of its own, before its own command. */
  readonly wrapper?: readonly string[];
  /** Returns the command of the service manager that starts the given command. */
  readonly manager?: (command: readonly string[]) => readonly string[];
  readonly mishap?: string;
  readonly port?: number;
}

/** A service under `graceful run`, by the runtime that runs the tests. */
export class SupervisedService {
  readonly program: Program;
  readonly port: number;
  readonly healthPort: number;
  readonly #mishap: string;

  private constructor(program: Program, port: number, healthPort: number, mishap: string) {
    this.program = program;
    this.port = port;
    this.healthPort = healthPort;
    this.#mishap = mishap;
  }

  /** Starts it. Resolves at once: nothing serves yet. */
  static async launch(options: ServiceOptions = {}): Promise<SupervisedService> {
    const port = options.port ?? await freePort();
    const healthPort = await freePort();
    const mishap = join(temporaryFolder(), "mishap");
    writeFileSync(mishap, options.mishap ?? "");
    const servers = [{ port, hostname: "127.0.0.1" }];
    const plan: Plan = { servers, graceful: { idleGrace: 100, ...options.graceful }, mishap };
    const command = options.command ??
      [...workerOf(options.worker ?? runtime, WORKER), JSON.stringify(plan)];
    const own = [
      ...(options.wrapper ?? []),
      ...commandOf(CLI, ["--allow-all", "--unstable-net"]),
      "run",
      ...(options.listens ?? true ? [`--listen=127.0.0.1:${port}`] : []),
      `--health=127.0.0.1:${healthPort}`,
      ...(options.args ?? ["--min-uptime=0.2"]),
      "--",
      ...command,
    ];
    const [program, ...args] = options.manager?.(own) ?? own;
    const child = spawn(program!, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const started = options.wrapper === undefined ? STARTED : null;
    return new SupervisedService(new Program(child, started), port, healthPort, mishap);
  }

  /** Starts it; resolves when its first generation serves. */
  static async start(options: ServiceOptions = {}): Promise<SupervisedService> {
    const service = await SupervisedService.launch(options);
    await service.says(/^supervisor: generation 1 serves/m);
    return service;
  }

  get addr(): Addr {
    return { transport: "tcp", hostname: "127.0.0.1", port: this.port };
  }

  get output(): string {
    return this.program.output;
  }

  /** Waits for the pattern, and returns its first group. */
  says(pattern: RegExp): Promise<string> {
    return deadline(this.program.says(pattern), SOON);
  }

  /** What goes wrong with each worker that starts from now on. */
  set mishap(what: string) {
    writeFileSync(this.#mishap, what);
  }

  /** The process ids of all workers so far. */
  get pids(): number[] {
    return [...this.output.matchAll(STARTED)].map(([, pid]) => Number(pid));
  }

  /** The process ids of the workers of a generation so far. */
  pidsOf(generation: number): number[] {
    const line = new RegExp(
      `\\(process (\\d+)\\) was started \\(generation ${generation}\\)$`,
      "gm",
    );
    return [...this.output.matchAll(line)].map(([, pid]) => Number(pid));
  }

  async health(path: string): Promise<Response> {
    const { healthPort } = this;
    return await fetch(`http://127.0.0.1:${healthPort}${path}`, {
      headers: { connection: "close" },
      signal: AbortSignal.timeout(SOON),
    });
  }

  async status(): Promise<SupervisorStatus> {
    return await (await this.health("/status")).json() as SupervisorStatus;
  }

  /** Resolves with the numbers of the workers once there are so many. */
  async workers(count: number): Promise<number[]> {
    return await until(() => `there are not ${count} workers`, async () => {
      const { workers } = await this.status();
      return workers.length === count ? workers.map(({ worker }) => worker) : undefined;
    });
  }

  /** Asks over a connection of its own, and returns the body. */
  async ask(path = "/"): Promise<string> {
    const client = await this.request(path);
    return (await deadline(client.response(), SOON)).body;
  }

  /** Sends a request over a connection of its own. */
  async request(path: string): Promise<RawClient> {
    const client = await deadline(connect(this.addr), SOON);
    client.write(requestText(path, "Connection: close"));
    return client;
  }

  /** Sends SIGHUP; resolves when the generation serves. */
  async reload(generation: number): Promise<void> {
    this.program.signal("SIGHUP");
    await this.says(new RegExp(`^supervisor: generation ${generation} serves`, "m"));
  }

  /** Ends it with a signal, and resolves with the exit code when no process of it is left. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    this.program.signal(signal);
    const code = await deadline(this.program.exit, SOON);
    await this.gone(this.pids);
    return code;
  }

  /** Resolves when none of the processes is left. */
  async gone(pids: readonly number[]): Promise<void> {
    const all = async () => {
      while (pids.some(isRunning)) await sleep(10);
    };
    await deadline(all(), SOON);
  }
}
