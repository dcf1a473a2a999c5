import { freePort, isFree } from "../ports.ts";
import type { Processes } from "../processes.ts";
import { until } from "../until.ts";
import { commandOf, type Runtime } from "../runtimes.ts";
import type { Backend, HAProxy } from "./haproxy.ts";
import type { RollingLoad } from "./load.ts";

/** What the service is, and what ends it. */
export interface RollingServiceOptions {
  /** The program: its first argument is its port. */
  readonly program: URL;
  /** The other arguments. */
  readonly args?: readonly string[];
  /**
   * What ends it.
   *
   * @default {"SIGTERM"}
   */
  readonly signal?: NodeJS.Signals;
}

/** One restart. The times are on the clock of `performance.now()`. */
export interface RollingRestart {
  readonly runtime: Runtime;
  /** The process that was ended. */
  readonly pid: number;
  /** When it was sent the signal. */
  readonly start: number;
  /** When HAProxy took its successor for up. */
  readonly end: number;
}

/**
 * So many requests each process answers before it is ended, for its end to come in the middle of
 * them.
 */
const BEFORE = 100;

/** A service behind HAProxy, through its restarts. */
export class RollingService implements Backend {
  readonly port: number;
  /** Its processes so far. */
  readonly pids: number[] = [];
  readonly #runtime: Runtime;
  readonly #processes: Processes;
  readonly #options: RollingServiceOptions;

  private constructor(
    runtime: Runtime,
    port: number,
    processes: Processes,
    options: RollingServiceOptions,
  ) {
    this.port = port;
    this.#runtime = runtime;
    this.#processes = processes;
    this.#options = options;
  }

  static async start(
    runtime: Runtime,
    processes: Processes,
    options: RollingServiceOptions,
  ): Promise<RollingService> {
    const service = new RollingService(runtime, await freePort(), processes, options);
    await service.#start();
    return service;
  }

  get name(): string {
    return this.#runtime;
  }

  /** Resolves when the newest process is in the middle of the load. */
  async isAtWork(load: RollingLoad): Promise<void> {
    const answered = () => load.tally.answered.filter(({ pid }) => pid === this.#pid).length;
    await until(
      () => `${this.name} has answered only ${answered()} requests`,
      () => answered() >= BEFORE || undefined,
    );
  }

  /**
   * Ends its process in the middle of the load, and resolves when HAProxy takes the next one for up.
   */
  async restart(haproxy: HAProxy, load: RollingLoad): Promise<RollingRestart> {
    await this.isAtWork(load);
    const pid = this.#pid;
    const start = performance.now();
    await this.#end();
    await this.#start();
    await haproxy.isUp(this.name);
    return { runtime: this.#runtime, pid, start, end: performance.now() };
  }

  /** Ends it. Rejects if that leaves something behind. */
  async stop(): Promise<void> {
    await this.#end();
    // The other threads of a process can hold it a little longer than the first.
    await until(
      () => `port ${this.port} is still taken`,
      async () => await isFree(this.port) || undefined,
    );
  }

  get #pid(): number {
    return this.pids.at(-1)!;
  }

  async #start(): Promise<void> {
    const { program, args = [] } = this.#options;
    const command = commandOf(this.#runtime, program);
    this.pids.push(await this.#processes.start([...command, `${this.port}`, ...args]));
  }

  async #end(): Promise<void> {
    this.#processes.signal(this.#pid, this.#options.signal ?? "SIGTERM");
    await this.#processes.gone(this.#pid);
  }
}
