import { resolve } from "node:path";
import process from "node:process";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { reportError } from "../core/report_error.ts";
import { shownAddr } from "../core/addr.ts";
import { checkInteger } from "../options/checks.ts";
import { realFolder, startFolder } from "../runtime/host/current_folder.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Server } from "../server/server.ts";
import { draftPidFile, removePidFile } from "../upgrade/pid_file.ts";
import { emitTo, type SupervisorEvent } from "./events.ts";
import { Generation, type GenerationOwner } from "./generation.ts";
import { serveHealth } from "./health.ts";
import { Listeners } from "./listeners.ts";
import { logToStderr } from "./log.ts";
import {
  MAX_WORKERS,
  type SupervisorOptions,
  type SupervisorSettings,
  supervisorSettings,
} from "./options.ts";
import { Orphans } from "./orphans.ts";
import { PrefixedOutput } from "./output.ts";
import { ServiceNotices } from "./service_notices.ts";
import { findShell, type Shell } from "./shell.ts";
import { SupervisorSignals } from "./signals.ts";
import { statusOf, type SupervisorStatus } from "./status.ts";
import { environmentOf } from "./worker_environment.ts";
import { checkNodeVersion } from "../runtime/host/node_version.ts";

/**
 * The number of milliseconds in which a worker takes in the connections that have begun before the kernel was told to
 * give it no more: a handshake takes a round trip.
 */
const SETTLING = 1_000;

/** How a supervisor has ended. */
export interface SupervisorReport {
  /** The name of a signal, `"aborted"` (the `signal` option), `"stopped"` (`stop` was called) or `"crash loop"`. */
  readonly cause: string;
  /**
   * The highest exit code of the workers that were told to end when they were ready, or in a crash loop the code of the
   * worker. A worker that was ended by a signal counts as 128 and the number of the signal.
   */
  readonly exitCode: number;
}

/** A supervisor that runs a service. */
export interface Supervisor extends AsyncDisposable {
  /** Resolves when the service has ended, whatever has ended it. The promise never rejects. */
  readonly finished: Promise<SupervisorReport>;
  /** Returns what runs now. */
  status(): SupervisorStatus;
  /**
   * Starts a new generation, as SIGHUP does. Resolves with true when the new generation serves, and with false if it has
   * failed, or was asked for when the end had begun. While a generation starts, another one follows it.
   */
  reload(): Promise<boolean>;
  /**
   * Changes the number of workers, 1 to 1024.
   *
   * @throws {RangeError} If the number is out of range.
   */
  resize(workers: number): void;
  /** Tells all workers to end, and resolves when they have. */
  stop(): Promise<SupervisorReport>;
}

/**
 * Starts a supervisor: a process that never serves itself. It keeps its process id, holds the listening sockets, and
 * runs a number of workers that accept from one queue. Resolves when the listeners are open and the workers are started;
 * they may not be ready yet.
 *
 * The signals of the process control the service:
 *
 * - SIGHUP starts a new generation of workers, with the command, the environment and the folder as they are then. When
 *   all new workers are ready and have served for `minUptime`, the workers before get SIGTERM and drain. If a new worker
 *   ends before that, the generation before serves on.
 * - SIGTERM and SIGINT are passed on, once, and the workers are waited for.
 * - SIGTTIN and SIGTTOU are a worker more and a worker less.
 * - SIGUSR1 and SIGUSR2 are passed on to the workers that are ready.
 *
 * A worker that ends by itself is started again, after a pause that grows. Five ends in a row, each before the worker
 * was ready for `minUptime`, end the service.
 *
 * Deno asks for `--allow-ffi --allow-env --allow-run --allow-net`, and for `--allow-read --allow-write` for unix sockets
 * and the PID file.
 *
 * @throws {TypeError} If an option has the wrong type or names no address.
 * @throws {RangeError} If an option is out of range.
 * @throws {UpgradeError} On Deno without `--allow-ffi`; on Deno and Bun on a system other than Linux.
 * @throws {Error} If a listener cannot be opened, with the system's `code` (`EADDRINUSE` …), or the PID file cannot be
 * written.
 *
 * @example
 * ```ts
 * import { supervise } from "@x/graceful/supervisor";
 *
 * const supervisor = await supervise({
 *   command: ["sleep", "60"],
 *   listen: "127.0.0.1:0",
 *   workers: 2,
 * });
 * console.log(supervisor.status().workers.length); // 2
 * await supervisor.stop();
 * ```
 */
export async function supervise(options: SupervisorOptions): Promise<Supervisor> {
  checkNodeVersion();
  const settings = supervisorSettings(options);
  const { log = logToStderr, pidFile } = settings;
  const emit = (event: SupervisorEvent) => {
    if (log !== false) emitTo(log, event);
  };
  const listeners = await Listeners.open(settings, (addr) => emit({ type: "occupied", addr }));
  let supervisor: RunningSupervisor | undefined;
  let health: Server | undefined;
  try {
    if (settings.health !== undefined) {
      health = await serveHealth(settings.health, () => supervisor!.status());
    }
    const draft = pidFile === undefined ? undefined : draftPidFile(pidFile);
    draft?.publish();
    supervisor = new RunningSupervisor(settings, listeners, health, emit);
    return supervisor;
  } finally {
    if (supervisor === undefined) {
      await health?.close();
      listeners.close();
      listeners.removeFiles();
    }
  }
}

/** What has begun the end of a supervisor. */
interface End {
  readonly cause: string;
  /** The exit code that does not depend on the workers. */
  readonly exitCode: number | undefined;
}

class RunningSupervisor implements Supervisor {
  readonly finished: Promise<SupervisorReport>;
  readonly #settings: SupervisorSettings;
  readonly #listeners: Listeners;
  readonly #health: Server | undefined;
  readonly #emit: (event: SupervisorEvent) => void;
  readonly #finish: (report: SupervisorReport) => void;
  readonly #folder: string | undefined = startFolder();
  readonly #since = new Date().toISOString();
  readonly #shell: Shell | undefined = findShell(sockets().withInheritable !== undefined);
  readonly #output: PrefixedOutput | undefined;
  readonly #notices = new ServiceNotices();
  readonly #orphans = new Orphans((pid) =>
    this.#generations.some(({ workers }) => workers.some((worker) => worker.pid === pid))
  );
  readonly #signals: SupervisorSignals | undefined;
  readonly #owner: GenerationOwner;
  readonly #onAbort = () => void this.#stop("SIGTERM", "aborted");
  /** The generations with workers: the one that serves, those before that drain, and a new one. */
  #generations: Generation[] = [];
  #current: Generation;
  #next: Generation | undefined;
  /** The reload that follows the one that is under way. */
  #following: Promise<boolean> | undefined;
  #reloading: Promise<boolean> | undefined;
  #workers: number;
  /** The last change of the number of workers, where workers have listeners of their own. */
  #resizing: Promise<void> = Promise.resolve();
  #lastGeneration = 0;
  #lastWorker = 0;
  #restarts = 0;
  #hasServed = false;
  #hasHeardReady = false;
  #end: End | undefined;
  #presses = 0;
  #isOver = false;

  constructor(
    settings: SupervisorSettings,
    listeners: Listeners,
    health: Server | undefined,
    emit: (event: SupervisorEvent) => void,
  ) {
    this.#settings = settings;
    this.#listeners = listeners;
    this.#health = health;
    this.#emit = emit;
    this.#workers = settings.workers;
    this.#output = settings.prefix ? new PrefixedOutput() : undefined;
    const { promise, resolve } = Promise.withResolvers<SupervisorReport>();
    this.finished = promise;
    this.#finish = resolve;
    this.#owner = {
      minUptime: settings.minUptime,
      nextWorker: () => ++this.#lastWorker,
      hasHeardReady: () => this.#hasHeardReady,
      heardReady: () => this.#hasHeardReady = true,
      onLoop: (exitCode) => void this.#stop("SIGTERM", "crash loop", exitCode),
      onRestart: () => this.#restarts++,
      onChange: () => this.#onChange(),
      emit,
    };
    if (settings.signals) {
      this.#signals = new SupervisorSignals({
        stop: (signal, cause) => void this.#stop(signal, cause),
        reload: () => void this.reload(),
        resize: (change) => this.#change(change),
        pass: (signal) => this.#pass(signal),
      });
    }
    emit({ type: "listening", listeners: listeners.addresses, health: health?.addr });
    this.#current = this.#newGeneration(true);
    this.#current.resize(this.#workers);
    if (settings.signal?.aborted) this.#onAbort();
    settings.signal?.addEventListener("abort", this.#onAbort);
  }

  status(): SupervisorStatus {
    return {
      pid: process.pid,
      state: this.#state,
      ready: this.#end === undefined && this.#current.isReady,
      since: this.#since,
      generation: this.#current.number,
      restarts: this.#restarts,
      listeners: this.#listeners.addresses.map(shownAddr),
      workers: this.#generations.flatMap(({ workers }) => workers.map(statusOf)),
    };
  }

  reload(): Promise<boolean> {
    if (this.#end !== undefined) return Promise.resolve(false);
    if (this.#reloading === undefined) {
      this.#reloading = this.#reload().finally(() => this.#reloading = undefined);
      return this.#reloading;
    }
    if (this.#following === undefined) {
      this.#emit({ type: "queued", generation: this.#lastGeneration + 1 });
      this.#following = this.#reloading.then(() => {
        this.#following = undefined;
        return this.reload();
      });
    }
    return this.#following;
  }

  resize(workers: number): void {
    checkInteger("resize the service as 'workers'", workers, 1, MAX_WORKERS);
    if (this.#end !== undefined) return;
    const isFewer = workers < this.#workers;
    this.#workers = workers;
    this.#emit({ type: "resized", workers });
    if (!this.#settings.reuseport) return this.#resizeGenerations();
    this.#resizing = this.#resizing.then(() => this.#resizeWithListeners(isFewer));
  }

  stop(): Promise<SupervisorReport> {
    if (this.#end === undefined) this.#stop("SIGTERM", "stopped");
    return this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  get #state(): SupervisorStatus["state"] {
    if (this.#isOver) return "stopped";
    if (this.#end !== undefined) return "stopping";
    if (!this.#hasServed) return "starting";
    return this.#next === undefined ? "serving" : "reloading";
  }

  #change(change: 1 | -1): void {
    const workers = this.#workers + change;
    if (workers >= 1 && workers <= MAX_WORKERS) this.resize(workers);
  }

  #pass(signal: NodeJS.Signals): void {
    for (const generation of this.#generations) generation.signal(signal);
  }

  /** Makes a generation of the command, the environment and the folder as they are now. */
  #newGeneration(isInCharge: boolean): Generation {
    const { command, cwd = this.#folder, env, readyTimeout, silence } = this.#settings;
    const plan = {
      generation: ++this.#lastGeneration,
      command,
      ...folderOf(cwd, env),
      listenersOf: (place: number) => this.#listeners.socketsOf(place),
      shell: this.#shell,
      output: this.#output,
      readyTimeout,
      silence,
    };
    const generation = new Generation(plan, this.#owner, isInCharge);
    this.#generations.push(generation);
    return generation;
  }

  /** Starts or ends workers until there are as many as were asked for. */
  #resizeGenerations(): void {
    this.#current.resize(this.#possibleWorkers);
    this.#next?.resize(this.#possibleWorkers);
  }

  /** The number of workers that were asked for, or for now that of the listeners. */
  get #possibleWorkers(): number {
    return Math.min(this.#workers, this.#listeners.capacity);
  }

  /**
   * The same where workers have listeners of their own. A worker that is to end gets no new connections for a moment
   * before it is told to end: nobody else accepts what waits in its queue.
   */
  async #resizeWithListeners(isFewer: boolean): Promise<void> {
    if (this.#end !== undefined) return;
    try {
      await this.#listeners.openFor(this.#workers);
    } catch (error) {
      if (this.#end !== undefined) return;
      this.#workers = this.#possibleWorkers;
      this.#emit({ type: "error", what: "opening a listener for another worker", error });
      return;
    }
    this.#spread();
    if (isFewer) await sleep(SETTLING, undefined, { ref: false });
    if (this.#end === undefined) this.#resizeGenerations();
  }

  /** Has the kernel give new connections to workers that are ready, where workers have listeners of their own. */
  #spread(): void {
    const ready = this.#generations.flatMap(({ readyPlaces }) => readyPlaces);
    this.#listeners.spreadOver(new Set(ready.filter((place) => place < this.#workers)));
  }

  #onChange(): void {
    if (this.#end === undefined) this.#spread();
    const { isReady, number, workers } = this.#current;
    if (this.#hasServed || !isReady || this.#end !== undefined) return;
    this.#hasServed = true;
    this.#emit({ type: "serving", generation: number, workers: workers.length });
    this.#notices.ready();
  }

  async #reload(): Promise<boolean> {
    this.#notices.reloading();
    const next = this.#newGeneration(false);
    this.#next = next;
    this.#emit({ type: "reloading", generation: next.number });
    const proof = next.proven();
    next.resize(this.#possibleWorkers);
    const why = await proof;
    this.#next = undefined;
    // The end has told the new workers to end.
    if (this.#end !== undefined) return false;
    if (why === undefined) this.#replaceBy(next);
    else this.#giveUp(next, why);
    this.#notices.reloaded(this.#current.number);
    return why === undefined;
  }

  #replaceBy(next: Generation): void {
    const old = this.#current;
    this.#current = next;
    next.takeCharge();
    this.#hasServed = true;
    this.#emit({ type: "serving", generation: next.number, workers: next.workers.length });
    this.#retire(old);
  }

  #giveUp(next: Generation, why: string): void {
    const { number: generation } = next;
    this.#emit({
      type: "failed",
      generation,
      why: why + this.#hint(),
      serving: this.#current.number,
    });
    this.#retire(next);
  }

  /** Returns what a program is told that opens a port itself, which the generation before still has. */
  #hint(): string {
    return this.#listeners.addresses.length > 0
      ? ""
      : "; there is no listener to pass on ('listen'), and a program that opens a port itself cannot run twice";
  }

  async #retire(generation: Generation): Promise<void> {
    generation.end("SIGTERM");
    await generation.ended();
    if (this.#end !== undefined) return;
    this.#generations = this.#generations.filter((other) => other !== generation);
  }

  async #stop(signal: NodeJS.Signals, cause: string, exitCode?: number): Promise<void> {
    if (this.#end !== undefined) return this.#press(signal);
    this.#end = { cause, exitCode };
    this.#emit({ type: "stopping", cause, signal });
    this.#notices.stopping();
    // The last worker that closes a listener takes in what waits in its queue, if nobody else has the socket.
    this.#listeners.close();
    for (const generation of this.#generations) generation.end(signal);
    const codes = await Promise.all(this.#generations.map((generation) => generation.ended()));
    await this.#cleanUp();
    const report = { cause, exitCode: exitCode ?? Math.max(...codes) };
    this.#emit({ type: "stopped", exitCode: report.exitCode });
    this.#finish(report);
  }

  /** Passes a further signal on, which workers take as a request to end at once. Kills them at the next one. */
  #press(signal: NodeJS.Signals): void {
    if (this.#isOver) return;
    this.#presses++;
    const forcing = this.#presses > 1 ? "SIGKILL" : signal;
    this.#emit({ type: "forcing", signal: forcing });
    for (const generation of this.#generations) {
      if (forcing === "SIGKILL") generation.kill().catch(reportError);
      else generation.press(signal);
    }
  }

  async #cleanUp(): Promise<void> {
    // The events of the last end are emitted in this turn.
    await setImmediate();
    this.#isOver = true;
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
    this.#listeners.removeFiles();
    if (this.#settings.pidFile !== undefined) removePidFile(this.#settings.pidFile);
    await this.#health?.close().catch((error: unknown) =>
      this.#emit({ type: "error", what: "closing the server for health checks", error })
    );
    this.#output?.end();
    this.#notices.end();
    this.#orphans.end();
    this.#signals?.release();
  }
}

/**
 * Returns the folder of a generation, and its environment. The folder is where the path leads now, so that a worker of
 * the generation that is started again runs in the same release, and `PWD` is the path.
 */
function folderOf(
  path: string | undefined,
  changes: Readonly<Record<string, string | undefined>>,
): { cwd: string | undefined; env: NodeJS.ProcessEnv } {
  if (path === undefined) return { cwd: undefined, env: environmentOf(changes) };
  const env = environmentOf({ PWD: resolve(path), ...changes });
  return { cwd: realFolder(path), env };
}
