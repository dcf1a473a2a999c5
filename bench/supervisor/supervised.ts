import { readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, isFree } from "../../support/ports.ts";
import { Processes } from "../../support/processes.ts";
import { commandOf, type Runtime } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import { heldConnections } from "./held_connections.ts";

const CLI = new URL("../../src/cli/main.ts", import.meta.url);
const SERVICE = new URL("./service.ts", import.meta.url);

/** A service under `graceful run`. */
export class SupervisedService implements AsyncDisposable {
  readonly port: number;
  readonly #processes: Processes;
  readonly #supervisor: number;
  readonly #count: number;
  /** The workers of the newest generation. */
  workers: readonly number[];

  private constructor(
    port: number,
    processes: Processes,
    supervisor: number,
    workers: readonly number[],
  ) {
    this.port = port;
    this.#processes = processes;
    this.#supervisor = supervisor;
    this.#count = workers.length;
    this.workers = workers;
  }

  /** Starts it. In any case its workers end after so many milliseconds. */
  static async start(
    supervisor: Runtime,
    worker: Runtime,
    count: number,
    maxTime: number,
    { reuseport, idleGrace }: { reuseport: boolean; idleGrace: number },
  ): Promise<SupervisedService> {
    const port = await freePort();
    const pidFile = join(tmpdir(), `graceful-bench-${port}`);
    const processes = new Processes(maxTime);
    try {
      const first = await processes.start([
        ...commandOf(supervisor, CLI),
        "run",
        `--listen=127.0.0.1:${port}`,
        `--workers=${count}`,
        `--pid-file=${pidFile}`,
        "--min-uptime=0.1",
        ...(reuseport ? ["--reuseport"] : []),
        "--",
        ...commandOf(worker, SERVICE),
        String(port),
        String(idleGrace),
      ]);
      const workers = [first];
      while (workers.length < count) workers.push(await processes.nextReady());
      return new SupervisedService(port, processes, Number(readFileSync(pidFile, "utf8")), workers);
    } catch (error) {
      await processes[Symbol.asyncDispose]();
      throw error;
    } finally {
      rmSync(pidFile, { force: true });
    }
  }

  /** Replaces all workers; resolves when those before are gone. */
  async restart(): Promise<void> {
    const old = this.workers;
    this.#processes.signal(this.#supervisor, "SIGHUP");
    const workers: number[] = [];
    while (workers.length < this.#count) workers.push(await this.#processes.nextReady());
    this.workers = workers;
    for (const pid of old) await this.#processes.gone(pid);
  }

  /**
   * Kills a worker. Resolves with the worker that takes its place when that is ready, and with the number of
   * connections that were lost with the killed worker.
   */
  async kill(pid: number): Promise<{ next: number; held: number }> {
    // It must not accept or answer anything between the count and its end.
    this.#processes.signal(pid, "SIGSTOP");
    await until(() => `process ${pid} does not stop`, () => isStopped(pid) || undefined);
    const held = heldConnections(pid, this.port);
    this.#processes.signal(pid, "SIGKILL");
    const next = await this.#processes.nextReady();
    this.workers = [...this.workers.filter((other) => other !== pid), next];
    return { next, held };
  }

  /** Ends it, and makes sure that nothing is left. */
  async stop(): Promise<void> {
    this.#processes.signal(this.#supervisor, "SIGTERM");
    await this.#processes.gone(this.#supervisor);
    await this.#processes.outputEnd();
    const left = this.#processes.alive();
    if (left.length > 0) throw new Error(`Processes are left: ${left.join(", ")}`);
    await until(
      () => `port ${this.port} is in use`,
      async () => await isFree(this.port) || undefined,
    );
  }

  /** The exit codes of the workers that have ended by themselves. */
  get exitCodes(): readonly number[] {
    return [...this.#processes.exitCodes.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes[Symbol.asyncDispose]();
  }
}

/** Whether all threads of a process stand still. */
function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) =>
    / T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1"))
  );
}
