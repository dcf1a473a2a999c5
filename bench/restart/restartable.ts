import { freePort, isFree } from "../../support/ports.ts";
import { Processes } from "../../support/processes.ts";
import { until } from "../../support/until.ts";
import type { Way } from "./ways.ts";

/** One restart. Its times are on the clock of `performance.now()`. */
export interface Restart {
  readonly start: number;
  /** When the old process was gone and the new one served. */
  readonly end: number;
  /** The old process. */
  readonly old: number;
  /** The new process. */
  readonly successor: number;
}

/** A service that runs, and can be restarted. */
export class RestartableService implements AsyncDisposable {
  readonly port: number;
  readonly processes: Processes;
  readonly #way: Way;
  #newest: number;

  private constructor(
    way: Way,
    port: number,
    processes: Processes,
    pid: number,
  ) {
    this.port = port;
    this.processes = processes;
    this.#way = way;
    this.#newest = pid;
  }

  /** Starts it. In any case it ends after so many milliseconds. */
  static async start(way: Way, maxTime: number): Promise<RestartableService> {
    const port = await freePort();
    const processes = new Processes(maxTime);
    try {
      const pid = await processes.start(way.command(port));
      return new RestartableService(way, port, processes, pid);
    } catch (error) {
      await processes[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The process that is restarted next. */
  get newest(): number {
    return this.#newest;
  }

  /** Restarts it once. */
  async restart(): Promise<Restart> {
    const old = this.#newest;
    const start = performance.now();
    const command = this.#way.command(this.port);
    this.#newest = await this.#way.replace(this.processes, old, command);
    return { start, end: performance.now(), old, successor: this.#newest };
  }

  /** Ends it with a signal. Rejects if that leaves something behind. */
  async stop(): Promise<void> {
    this.processes.signal(this.#newest, "SIGTERM");
    await this.processes.gone(this.#newest);
    const left = this.processes.alive();
    if (left.length > 0) {
      throw new Error(`Processes are left behind: ${left.join(", ")}`);
    }
    await this.processes.outputEnd();
    // The other threads of a process can hold it a little longer than the first.
    await until(
      () => `port ${this.port} is still taken`,
      async () => await isFree(this.port) || undefined,
    );
  }

  /** Kills what is left of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.processes[Symbol.asyncDispose]();
  }
}
