import { resolve } from "node:path";
import process from "node:process";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { reportError } from "../core/report_error.ts";
import { shownAddr } from "../core/addr.ts";
import { checkInteger } from "../options/checks.ts";
import { realFolder, startFolder } from "../runtime/host/current_folder.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Server } from "../server/server.ts";
import { removePidFile } from "../upgrade/pid_file.ts";
import type { SupervisorEvent } from "./events.ts";
import { Generation, type GenerationOwner } from "./generation.ts";
import { Listeners } from "./listeners.ts";
import { MAX_WORKERS, type SupervisorSettings } from "./options.ts";
import { Orphans } from "./orphans.ts";
import { PrefixedOutput } from "./output.ts";
import { ServiceNotices } from "./service_notices.ts";
import { findShell, type Shell } from "./shell.ts";
import { SupervisorSignals } from "./signals.ts";
import { statusOf, type SupervisorStatus } from "./status.ts";
import type { Supervisor, SupervisorReport } from "./supervisor.ts";
import { environmentOf } from "./worker_environment.ts";

/**
 * The number of milliseconds for which a worker keeps accepting after the kernel has stopped giving it new
 * connections. Handshakes that have begun before take a round trip to finish.
 */
const SETTLING = 1_000;

/** The end of a supervisor, once it has begun. */
interface End {
  readonly cause: string;
  /** The exit code of a crash loop. Undefined if the workers decide the exit code. */
  readonly exitCode: number | undefined;
}

/** A {@linkcode Supervisor} whose listeners are open. */
export class RunningSupervisor implements Supervisor {
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
  /** The generations that have workers: the current one, earlier ones that drain, and a new one that starts. */
  #generations: Generation[] = [];
  #current: Generation;
  #next: Generation | undefined;
  /** The reload that will start after the reload under way. */
  #following: Promise<boolean> | undefined;
  #reloading: Promise<boolean> | undefined;
  #workers: number;
  /** The last change of the number of workers, if each worker has its own listeners. */
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

  /** Creates a generation with the current command, environment and folder. */
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

  /** Starts or ends workers until their number is the requested number. */
  #resizeGenerations(): void {
    this.#current.resize(this.#possibleWorkers);
    this.#next?.resize(this.#possibleWorkers);
  }

  /** The requested number of workers, but at most the number of workers for which there are listeners. */
  get #possibleWorkers(): number {
    return Math.min(this.#workers, this.#listeners.capacity);
  }

  /**
   * Changes the number of workers if each worker has its own listeners. A worker that has to end first gets no new
   * connections for {@linkcode SETTLING} ms, because no other worker accepts the connections in its queue.
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

  /** Makes the kernel give new connections only to workers that are ready, if each worker has its own listeners. */
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
    // The end of the service has begun, and the new workers were told to end.
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

  /** Returns advice for programs that open a port themselves, which fails while the current generation has the port. */
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
    // A worker empties the accept queue of a listener only if no other process has the socket, so the
    // supervisor closes its descriptors first.
    this.#listeners.close();
    for (const generation of this.#generations) generation.end(signal);
    const codes = await Promise.all(this.#generations.map((generation) => generation.ended()));
    await this.#cleanUp();
    const report = { cause, exitCode: exitCode ?? Math.max(...codes) };
    this.#emit({ type: "stopped", exitCode: report.exitCode });
    this.#finish(report);
  }

  /** Passes a second signal on, at which workers end at once. Kills the workers at the third signal. */
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
    // The events about the end of the last worker are emitted in this turn of the event loop.
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
 * Returns the folder and the environment of a generation. The folder is resolved now, so that a worker of this
 * generation that is started later runs in the same release. `PWD` is the unresolved path.
 */
function folderOf(
  path: string | undefined,
  changes: Readonly<Record<string, string | undefined>>,
): { cwd: string | undefined; env: NodeJS.ProcessEnv } {
  if (path === undefined) return { cwd: undefined, env: environmentOf(changes) };
  const env = environmentOf({ PWD: resolve(path), ...changes });
  return { cwd: realFolder(path), env };
}
