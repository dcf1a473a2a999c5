import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import type { Readable } from "node:stream";
import { isMissing, missingFolder } from "../runtime/host/missing_folder.ts";
import { within } from "../core/within.ts";
import { killMarked } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import { type InheritedSocket, writeHandover } from "../listener/handover.ts";
import { onReadyLine } from "../upgrade/ready_line.ts";
import { Notifications } from "./notifications.ts";
import type { PrefixedOutput } from "./output.ts";
import { type Shell, shellCommand } from "./shell.ts";
import { activationOf } from "./worker_environment.ts";

/** The first descriptor of the listeners, which is also the first one that systemd passes. */
const FIRST_LISTENER_FD = 3;
/**
 * The exit code for a process that could not be started. A shell that does not find a program has the same
 * exit code.
 */
const NOT_FOUND = 127;

/** The number of milliseconds to wait for the rest of the output of a worker that has ended. */
const OUTPUT_WAIT = 1_000;

/** What the workers of a generation have in common. */
export interface WorkerPlan {
  readonly generation: number;
  readonly command: readonly string[];
  readonly cwd: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly listeners: readonly InheritedSocket[];
  readonly shell: Shell | undefined;
  /**
   * The output to which the lines of the workers are written with a prefix. Undefined if the workers write to
   * the output of this process themselves.
   */
  readonly output: PrefixedOutput | undefined;
  /** The number of milliseconds that a worker may take to become ready. */
  readonly readyTimeout: number;
  /** The number of milliseconds after which a worker that does not report its readiness counts as ready. */
  readonly silence: number;
}

/** The way in which a worker has ended. */
export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** The error if the process could not be started. */
  readonly error?: unknown;
}

/** The functions that a worker calls, each at most once. */
export interface WorkerObserver {
  /** Called when the worker has said that it is ready. */
  onSpeak(): void;
  /** Called when the worker is ready: it has said so (`hasSaid`), or has been running for long enough. */
  onReady(worker: Worker, hasSaid: boolean): void;
  /** Called when the worker has not become ready in time and is being killed. */
  onLate(worker: Worker): void;
  onEnd(worker: Worker, end: WorkerEnd): void;
  /**
   * Reports whether workers of this service are known to report their readiness, so that a silent worker is
   * not ready.
   */
  isExpectedToSpeak(): boolean;
}

/** A process of the service, from its start to its end. */
export class Worker {
  readonly number: number;
  readonly generation: number;
  /** The time at which the worker was started, in ms since 1970. */
  readonly started: number = Date.now();
  /** The time at which the worker was started, on the clock of `performance.now()`, which is never adjusted. */
  readonly #start = performance.now();
  /** Resolves when the worker has ended, and its output is written. */
  readonly ended: Promise<WorkerEnd>;
  readonly #observer: WorkerObserver;
  readonly #mark: Readonly<Record<string, string>>;
  /** The process; undefined if the runtime could not start it. */
  readonly #child: ChildProcess | undefined;
  readonly #notifications: Notifications | undefined;
  readonly #timers: ReturnType<typeof setTimeout>[];
  #state: "starting" | "ready" | "ended" = "starting";
  /**
   * The time since which the worker has been ready. For a worker that has not reported its readiness, the
   * time of its start.
   */
  #readySince: number | undefined;
  #end: number | undefined;
  #hasSpoken = false;
  #isToldToEnd = false;

  /** Starts the process. `number` is a number that no other worker of the supervisor has. */
  constructor(number: number, plan: WorkerPlan, observer: WorkerObserver) {
    this.number = number;
    this.generation = plan.generation;
    this.#observer = observer;
    this.#mark = handoverOf(number, plan.listeners);
    this.#notifications = Notifications.open(() => this.#hearReady());
    let error: unknown;
    try {
      this.#child = start(plan, {
        ...plan.env,
        ...activationOf(plan.listeners),
        ...(this.#notifications && { NOTIFY_SOCKET: this.#notifications.address }),
        ...this.#mark,
      });
    } catch (thrown) {
      error = thrown;
    }
    this.#notifications?.start(this.pid);
    // The cast: a `pipe` is readable. It may be missing if no process was started.
    const pipe = this.#child?.stdio?.[readyFd(plan)] as Readable | undefined;
    onReadyLine(pipe, () => this.#hearReady(), () => pipe?.destroy());
    this.#timers = [
      setTimeout(() => this.#onSilence(), plan.silence),
      setTimeout(() => this.#onTimeout(), plan.readyTimeout),
    ];
    const streams = [this.#child?.stdout, this.#child?.stderr];
    const written = plan.output?.copy(streams, `[${number}] `);
    this.ended = endOf(this.#child, error, plan.cwd).then(async (end) => {
      this.#onEnd(pipe);
      // A process that the worker has started may still keep the output open.
      if (written !== undefined) await within(written, OUTPUT_WAIT);
      observer.onEnd(this, end);
      return end;
    });
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isReady(): boolean {
    return this.#state === "ready";
  }

  get hasEnded(): boolean {
    return this.#state === "ended";
  }

  /** Whether the worker has been told to end. */
  get isEnding(): boolean {
    return this.#isToldToEnd;
  }

  /** Returns how many milliseconds ago the worker was started. */
  get age(): number {
    return performance.now() - this.#start;
  }

  /** Returns for how many milliseconds the worker has been ready, or was; undefined if it never was. */
  get uptime(): number | undefined {
    if (this.#readySince === undefined) return undefined;
    return (this.#end ?? performance.now()) - this.#readySince;
  }

  /** Tells the worker to end, unless it has been told before. */
  end(signal: NodeJS.Signals): void {
    if (this.#isToldToEnd) return;
    this.#isToldToEnd = true;
    this.signal(signal);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.hasEnded || this.pid === undefined) return;
    try {
      process.kill(this.pid, signal);
    } catch {
      // The process has ended meanwhile.
    }
  }

  /** Kills the worker, and the programs that it has started. */
  async kill(): Promise<void> {
    this.#isToldToEnd = true;
    this.signal("SIGKILL");
    await killMarked(this.#mark);
  }

  #hearReady(): void {
    if (this.#hasSpoken) return;
    this.#hasSpoken = true;
    this.#observer.onSpeak();
    this.#becomeReady(true);
  }

  #becomeReady(hasSaid: boolean): void {
    if (this.#state !== "starting") return;
    this.#state = "ready";
    this.#readySince = hasSaid ? performance.now() : this.#start;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#notifications?.slowDown();
    this.#observer.onReady(this, hasSaid);
  }

  #onSilence(): void {
    if (!this.#isToldToEnd && !this.#observer.isExpectedToSpeak()) this.#becomeReady(false);
  }

  #onTimeout(): void {
    // If this process was blocked, it first has to read what the worker has written in the meantime.
    setTimeout(() =>
      setImmediate(() => {
        if (this.#state !== "starting" || this.#isToldToEnd) return;
        this.#observer.onLate(this);
        this.kill();
      })
    );
  }

  #onEnd(pipe: Readable | undefined): void {
    this.#state = "ended";
    this.#end = performance.now();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#notifications?.close();
    pipe?.destroy();
  }
}

/** Returns the exit code that a shell reports for a process that has ended in this way. */
export function exitCodeOf({ code, signal }: WorkerEnd): number {
  if (code !== null) return code;
  // The cast: this system may not have a signal of that name.
  return 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
}

/** Returns the descriptor on which a worker says that it is ready. */
function readyFd({ listeners }: Pick<WorkerPlan, "listeners">): number {
  return FIRST_LISTENER_FD + listeners.length;
}

/** Returns the environment variable that describes the listeners. It also marks the processes of the worker. */
function handoverOf(
  worker: number,
  listeners: readonly InheritedSocket[],
): Record<string, string> {
  return writeHandover({
    pid: process.pid,
    ready: readyFd({ listeners }),
    worker,
    listeners: listeners.map((socket, index) => ({
      ...socket,
      fd: FIRST_LISTENER_FD + index,
      // The supervisor removes the file of a unix socket.
      unlink: false,
      handoff: "inherit",
    })),
  });
}

/**
 * Starts the process in its own session, so that a Ctrl-C on the terminal reaches it only through the supervisor.
 */
function start(plan: WorkerPlan, env: NodeJS.ProcessEnv): ChildProcess {
  const { cwd, shell } = plan;
  const output = plan.output === undefined ? "inherit" : "pipe";
  const fds = plan.listeners.map(({ fd }) => fd);
  const spawnWith = (
    [program, ...args]: readonly string[],
    listeners: readonly (number | "ignore")[],
  ) =>
    spawn(program!, args, {
      cwd,
      env,
      detached: true,
      stdio: ["ignore", output, output, ...listeners, "pipe"],
    });
  const commandWith = (numbers: readonly number[]) =>
    shell === undefined
      ? plan.command
      : shellCommand(shell, plan.command, numbers, FIRST_LISTENER_FD);
  const own = sockets();
  if (own.withInheritable !== undefined && shell?.movesDescriptors === true) {
    return own.withInheritable(
      fds,
      (numbers) => spawnWith(commandWith(numbers), numbers.map(() => "ignore")),
    );
  }
  return own.withPassable(fds, (numbers) => spawnWith(commandWith([]), numbers));
}

/** Resolves when the process has ended. A process that could not be started counts as ended. */
async function endOf(
  child: ChildProcess | undefined,
  error: unknown,
  cwd: string | undefined,
): Promise<WorkerEnd> {
  const notStarted = (cause: unknown) => ({
    code: NOT_FOUND,
    signal: null,
    error: cwd !== undefined && isMissing(cwd) ? new Error(missingFolder(cwd), { cause }) : cause,
  });
  if (child === undefined) return notStarted(error);
  return await new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => {
      if (child.pid === undefined) resolve(notStarted(error));
    });
  });
}
