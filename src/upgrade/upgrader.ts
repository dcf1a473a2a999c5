import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { UpgradeError } from "../core/errors.ts";
import { checkMilliseconds } from "../options/checks.ts";
import { reportError } from "../core/report_error.ts";
import { notify, notifyReloading } from "../systemd/notify.ts";
import { commandLine } from "../runtime/linux/command_line.ts";
import { startFolder } from "../runtime/host/current_folder.ts";
import { isRunning } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Handover } from "../listener/handover.ts";
import { predecessor, takeUnclaimed } from "../listener/inheritance.ts";
import { leaveToSuccessor, openListeners, SharedListener } from "../listener/shared_listener.ts";
import { draftPidFile, removePidFile } from "./pid_file.ts";
import { startWaiting } from "../listener/readiness.ts";
import { settled } from "./settling.ts";
import { READY, startSuccessor } from "./successor.ts";

/** Options of an {@linkcode Upgrader}. */
export interface UpgraderOptions {
  /**
   * The program and its arguments. The default is the command that this process was started with,
   * its runtime and the runtime's options included. It has to become the service itself: a wrapper
   * that starts it in turn does not pass the listeners on.
   */
  command?: readonly string[];
  /**
   * Where it runs. The default is where this process was started, by the path that was used then:
   * where that leads through a symlink, the new process runs where the link leads to now.
   */
  cwd?: string;
  /**
   * How many milliseconds the new process may take to become ready, 0 to 2 147 483 647, before it
   * is killed. The default is tableflip's.
   *
   * @default {60_000}
   */
  readyTimeout?: number;
  /**
   * A file that holds the number of the process that serves, for those who send it signals. Written
   * when this process is ready, in one step, and removed when it stops without a successor.
   */
  pidFile?: string;
}

/** The number of ms between two looks whether the predecessor is gone, whose end makes no event here. */
const PREDECESSOR_INTERVAL = 50;

/**
 * Has the process of an Upgrader serve, as its `ready` does, but does not wait until systemd has been told:
 * a signal that ends the process must not wait for that.
 */
export let startServing: (upgrader: Upgrader) => Promise<void>;

/** Returns the place where the Upgrader of this process is kept. */
const slot = () => ofProcess(newSlot);
const newSlot = (): { upgrader?: Upgrader } => ({});

/** Returns this process's Upgrader, creating one with default options if there is none. */
export function upgraderOfProcess(): Upgrader {
  return slot().upgrader ?? new Upgrader();
}

/**
 * Replaces this process by a new one that takes over its listeners, as Cloudflare's tableflip does:
 *
 * - no old code serves on after an upgrade that succeeded, but what it has begun;
 * - the new process has time to initialize: it accepts nothing until it is ready;
 * - if it crashes, hangs or exits before it is ready, this one serves on as if nothing had been;
 * - one upgrade at a time: not while another is under way, nor while the process before this one
 *   is still draining.
 *
 * `graceful` does all of this with `upgradeOn`; this is for what it does not do. One a process, made
 * before `graceful` is called, which makes one otherwise.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 * import { Upgrader } from "@x/graceful/upgrade";
 *
 * const upgrader = new Upgrader({ readyTimeout: 10_000 });
 * const server = await serve(() => new Response("hello"), {
 *   port: 0,
 *   hostname: "127.0.0.1",
 *   handoff: "auto",
 * });
 * await upgrader.ready();
 * upgrader.exit.then(() => server.shutdown({ timeout: 15_000, idleGrace: 1_000 }));
 * // await upgrader.upgrade(); starts the successor
 * upgrader.stop();
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export class Upgrader {
  /**
   * Resolves with the successor's process id when that has taken over and nothing waits here to be
   * accepted: shut the servers down and exit.
   */
  readonly exit: Promise<number>;
  readonly #options: UpgraderOptions;
  /** The folder in which this process was started. */
  readonly #folder: string | undefined = startFolder();
  readonly #exit: (pid: number) => void;
  readonly #stopped = new AbortController();
  #state: "starting" | "ready" | "upgrading" | "succeeded" = "starting";
  #serving: Promise<void> | undefined;
  #ready: Promise<void> | undefined;
  /** Resolves when systemd has been told everything so far, one message after another. */
  #told: Promise<void> = Promise.resolve();
  #predecessorGone: Promise<void> | undefined;

  /**
   * Starts nothing yet: see {@linkcode Upgrader.ready}.
   *
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws {UpgradeError} If this process has one already.
   */
  constructor(options: UpgraderOptions = {}) {
    checkUpgrader(options);
    if (slot().upgrader !== undefined) {
      throw new UpgradeError(
        "Cannot make an Upgrader: this process has one, as graceful makes one",
      );
    }
    // From here on what this process starts inherits nothing that was left to it.
    predecessor();
    slot().upgrader = this;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.exit = promise;
    this.#exit = resolve;
  }

  /** Whether this process was started to replace another. */
  get hasPredecessor(): boolean {
    return predecessor() !== undefined;
  }

  /** Resolves when the process before this one is gone; at once if there was none. */
  get predecessorGone(): Promise<void> {
    this.#predecessorGone ??= gone(predecessor()?.pid);
    return this.#predecessorGone;
  }

  /** Whether a successor is ready, and {@linkcode Upgrader.exit} has resolved or will within seconds. */
  get hasSuccessor(): boolean {
    return this.#state === "succeeded";
  }

  /**
   * To be called when this process can serve: its servers start to accept, the process before it
   * is told, inherited listeners that nothing has asked for are closed, the PID file is written.
   * Tells systemd `READY=1`.
   *
   * @throws {UpgradeError} If the process before this one serves on, and has given this one up: exit.
   * @throws {Error} If the PID file cannot be written, or a server cannot accept. The process before
   * this one then serves on: exit.
   */
  ready(): Promise<void> {
    this.#ready ??= this.#serve().then(() => this.#told);
    return this.#ready;
  }

  /** Starts to serve, and does not wait until systemd has been told. */
  #serve(): Promise<void> {
    this.#serving ??= this.#startServing();
    return this.#serving;
  }

  static {
    startServing = (upgrader) => upgrader.#serve();
  }

  async #startServing(): Promise<void> {
    const { pidFile } = this.#options;
    const draft = pidFile === undefined ? undefined : draftPidFile(pidFile);
    try {
      await startWaiting();
      draft?.publish();
    } finally {
      draft?.discard();
    }
    for (const socket of takeUnclaimed()) new SharedListener(socket, true).close();
    const handover = predecessor();
    if (handover === undefined) this.#tell(() => notify({ READY: 1 }));
    else await this.#succeed(handover);
    this.#state = "ready";
  }

  /** Takes over from the predecessor. */
  async #succeed({ pid, ready: readyPipe }: Pick<Handover, "pid" | "ready">): Promise<void> {
    if (!sockets().writeAndClose(readyPipe, READY)) {
      // One that ends closes its pipes a moment before it is gone.
      await sleep(PREDECESSOR_INTERVAL);
      if (isRunning(pid)) {
        throw new UpgradeError(
          "Cannot take over: the process before this one has given this one up",
        );
      }
      console.warn("The process before this one was gone when this one was ready");
    }
    this.predecessorGone.then(() => {
      for (const listener of openListeners()) listener.stopSteering();
    });
  }

  /**
   * Starts the successor and resolves with its process id when that is ready. From then on it
   * serves, and {@linkcode Upgrader.exit} says when to shut down here. Tells systemd `RELOADING=1`,
   * and then `MAINPID` and `READY=1`.
   *
   * @throws {UpgradeError} If there is none: it could not be started, or was not ready before it
   * ended or `readyTimeout` passed. Nothing is left of it, and this process serves on. Also if this
   * process is not ready, is being upgraded or was, was stopped, or the one before it is not gone.
   */
  async upgrade(): Promise<number> {
    this.#refuseUpgrade();
    this.#state = "upgrading";
    this.#tell(notifyReloading);
    try {
      const listeners = openListeners();
      const pid = await startSuccessor(listeners, {
        command: this.#options.command ?? commandLine(),
        cwd: this.#options.cwd ?? this.#folder,
        readyTimeout: this.#options.readyTimeout ?? 60_000,
        signal: this.#stopped.signal,
      });
      this.#state = "succeeded";
      leaveToSuccessor();
      // This process may end behind it.
      await this.#tell(() => notify({ MAINPID: pid, READY: 1 }));
      settled(listeners).then(() => this.#exit(pid));
      return pid;
    } catch (error) {
      this.#state = "ready";
      this.#tell(() => notify({ READY: 1 }));
      throw error;
    }
  }

  /**
   * Ends an upgrade that is under way, and refuses others. After one that has succeeded it does
   * nothing. Removes the PID file if it is this process's.
   */
  stop(): void {
    if (this.hasSuccessor) return;
    this.#stopped.abort();
    if (this.#options.pidFile !== undefined) removePidFile(this.#options.pidFile);
  }

  #tell(notification: () => Promise<boolean>): Promise<void> {
    this.#told = this.#told.then(() => tell(notification));
    return this.#told;
  }

  #refuseUpgrade(): void {
    const why = this.#stopped.signal.aborted
      ? "the upgrader was stopped"
      : this.#state === "starting"
      ? "this process is not ready itself"
      : this.#state === "upgrading"
      ? "an upgrade is under way"
      : this.#state === "succeeded"
      ? "a successor has taken over"
      : isThere(predecessor()?.pid)
      ? "the process before this one is still draining"
      : undefined;
    if (why !== undefined) throw new UpgradeError(`Cannot upgrade: ${why}`);
  }
}

function checkUpgrader({ command, cwd, pidFile, readyTimeout }: UpgraderOptions): void {
  checkMilliseconds("upgrade as 'readyTimeout'", readyTimeout, 0);
  for (const [name, value] of Object.entries({ cwd, pidFile })) {
    if (value === undefined || (typeof value === "string" && value !== "")) continue;
    throw new TypeError(
      `Cannot upgrade as '${name}' must be a string that is not empty: current value is ${
        shown(value)
      }`,
    );
  }
  const isCommand = Array.isArray(command) && command.length > 0 &&
    command.every((word) => typeof word === "string");
  if (command === undefined || isCommand) return;
  throw new TypeError(
    `Cannot upgrade as 'command' must be a program and its arguments: current value is ${
      shown(command)
    }`,
  );
}

/** Returns a value on one line, whatever is in it. */
function shown(value: unknown): string {
  return typeof value === "string" || Array.isArray(value) ? JSON.stringify(value) : String(value);
}

/** Whether the process that started this one is still there. */
function isThere(predecessor: number | undefined): boolean {
  return predecessor !== undefined && process.ppid === predecessor;
}

function gone(predecessor: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!isThere(predecessor)) return resolve();
    const timer = setInterval(() => {
      if (isThere(predecessor)) return;
      clearInterval(timer);
      resolve();
    }, PREDECESSOR_INTERVAL);
    timer.unref();
  });
}

/** Sends a notification. That systemd cannot be told is reported, and no reason not to serve. */
async function tell(notification: () => Promise<boolean>): Promise<void> {
  try {
    await notification();
  } catch (error) {
    reportError(error);
  }
}
