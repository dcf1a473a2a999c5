import { ofProcess } from "../core/process_state.ts";
import { shownAddr } from "../core/addr.ts";
import { UpgradeError } from "../core/errors.ts";
import { isAbsolute, join } from "node:path";
import { reportError } from "../core/report_error.ts";
import { notify, notifyReloading, notifyUnlessEnding } from "../systemd/notify.ts";
import { commandLine } from "../runtime/linux/command_line.ts";
import { startEnvironment } from "../runtime/linux/start_environment.ts";
import { keeper } from "../runtime/linux/keeper.ts";
import { startFolder } from "../runtime/host/current_folder.ts";
import { tellParentReady } from "../runtime/host/parent_channel.ts";
import type { Handover, InheritedSocket } from "../listener/handover.ts";
import { releaseHangups } from "../listener/hangups.ts";
import { predecessor, supervisor, takeUnclaimed } from "../listener/inheritance.ts";
import {
  leaveToSuccessor,
  openListeners,
  SharedListener,
  successorStarts,
} from "../listener/shared_listener.ts";
import { checkUpgrader, type UpgraderOptions } from "./options.ts";
import { draftPidFile, removePidFile } from "./pid_file.ts";
import { gone, isThere, sayReady } from "./predecessor.ts";
import { startWaiting, takenOver } from "../listener/readiness.ts";
import { settled } from "./settling.ts";
import { startSuccessor } from "./successor.ts";
import { checkNodeVersion } from "../runtime/host/node_version.ts";

/**
 * Does the work of `upgrader.ready()`, but does not wait until systemd was notified: a signal that ends the
 * process must not wait for that.
 */
export let startServing: (upgrader: Upgrader) => Promise<void>;

/** Returns why no upgrade can start now; undefined if an upgrade can start. */
export let obstacleTo: (upgrader: Upgrader) => string | undefined;

/** The command and the folder that a successor is started with. */
export interface SuccessorStart {
  readonly command: readonly string[];
  readonly folder: string | undefined;
}

/** Does the work of `upgrader.upgrade()`, and calls `onStart` right before the successor is started. */
export let startUpgrade: (
  upgrader: Upgrader,
  onStart: (start: SuccessorStart) => void,
) => Promise<number>;

/** Returns the object that holds the Upgrader of this process. */
const slot = () => ofProcess(newSlot);
const newSlot = (): { upgrader?: Upgrader } => ({});

/** Returns this process's Upgrader, creating one with default options if there is none. */
export function upgraderOfProcess(): Upgrader {
  return slot().upgrader ?? new Upgrader();
}

/**
 * Replaces this process by a new process that takes over its listeners, with the promises of Cloudflare's tableflip:
 *
 * - after a successful upgrade the old process only finishes what it has begun;
 * - the new process has time to initialize: it accepts nothing until it is ready;
 * - if the new process crashes, hangs or exits before it is ready, the old process keeps serving as if nothing had
 *   happened;
 * - there is one upgrade at a time: none starts while another is under way, or while the predecessor of this process
 *   is still draining.
 *
 * `graceful` does all of this with its option `upgradeOn`. Use an Upgrader to start upgrades in another way. A process
 * has one Upgrader. Create it before `graceful` is called, because `graceful` creates one if there is none.
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
   * A promise that resolves with the process id of the successor when the successor has taken over and no connection
   * waits in an accept queue of this process. Shut the servers down then, and exit.
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
  /** Resolves when all messages so far were sent to systemd. They are sent one after another. */
  #notified: Promise<void> = Promise.resolve();
  #predecessorGone: Promise<void> | undefined;

  /**
   * Creates the Upgrader of this process. The Upgrader starts nothing before {@linkcode Upgrader.ready}
   * is called.
   *
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws {UpgradeError} If this process already has an Upgrader.
   */
  constructor(options: UpgraderOptions = {}) {
    checkNodeVersion();
    checkUpgrader(options);
    if (slot().upgrader !== undefined) {
      throw new UpgradeError(
        "Cannot create an Upgrader: this process already has one. Create it before graceful() is called, " +
          "because graceful() creates one too",
      );
    }
    // Takes over what the predecessor left, so that programs which this process starts do not inherit it.
    predecessor();
    slot().upgrader = this;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.exit = promise;
    this.#exit = resolve;
  }

  /** Whether this process was started to replace another process. */
  get hasPredecessor(): boolean {
    return predecessor() !== undefined;
  }

  /** Resolves when the predecessor is gone; at once if this process has no predecessor. */
  get predecessorGone(): Promise<void> {
    this.#predecessorGone ??= gone(predecessor()?.pid);
    return this.#predecessorGone;
  }

  /** Whether a successor is ready. {@linkcode Upgrader.exit} resolves once the accept queues are empty. */
  get hasSuccessor(): boolean {
    return this.#state === "succeeded";
  }

  /**
   * Declares that this process is ready to serve. Its servers start to accept, the PID file is written, and inherited
   * listeners that nothing has claimed are closed. If there is a predecessor, this process notifies it, and the
   * predecessor sends systemd the new `MAINPID` with `READY=1`. A worker of a supervisor notifies the supervisor.
   * Otherwise this process sends `READY=1` itself, and the message `"ready"` to a parent that has opened a channel, as
   * pm2 does. Further calls return the same promise.
   *
   * @throws {UpgradeError} If the predecessor or the supervisor has stopped waiting for this process and keeps serving.
   * Exit then.
   * @throws {Error} If the PID file cannot be written, or a server cannot accept. The predecessor keeps serving.
   * Exit then.
   */
  ready(): Promise<void> {
    this.#ready ??= this.#serve().then(() => this.#notified);
    return this.#ready;
  }

  /** Starts to serve, and does not wait until systemd was notified. */
  #serve(): Promise<void> {
    this.#serving ??= this.#startServing();
    return this.#serving;
  }

  static {
    startServing = (upgrader) => upgrader.#serve();
    obstacleTo = (upgrader) => upgrader.#obstacle();
    startUpgrade = (upgrader, onStart) => upgrader.#upgrade(onStart);
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
    for (const socket of takeUnclaimed()) closeUnclaimed(socket);
    const handover = predecessor();
    const own = supervisor();
    if (own !== undefined) await sayReady(own, "supervisor");
    else if (handover !== undefined) await this.#succeed(handover);
    else {
      this.#notify(() => notifyUnlessEnding({ READY: 1 }));
      tellParentReady();
    }
    this.#state = "ready";
    releaseHangups();
  }

  /** Takes over from the predecessor. */
  async #succeed(handover: Pick<Handover, "pid" | "ready">): Promise<void> {
    await sayReady(handover, "predecessor");
    takenOver();
    this.predecessorGone.then(() => {
      for (const listener of openListeners()) listener.stopSteering();
    });
  }

  /**
   * Starts a successor, and resolves with its process id when the successor is ready. From then on the successor
   * serves, and {@linkcode Upgrader.exit} says when to shut down here. systemd gets `RELOADING=1`, and then `MAINPID`
   * and `READY=1`.
   *
   * @throws {UpgradeError} If the successor cannot be started, ends before it is ready, or is not ready within
   * `readyTimeout`. Nothing is left of it, and this process keeps serving.
   * @throws {UpgradeError} If this process is process 1 of a container, or was started by a supervisor that would take
   * its end for the end of the service: runit, daemontools, s6, supervisord, pm2, tini, dumb-init.
   * @throws {UpgradeError} If this process is not ready, is being upgraded, has been upgraded or was stopped, or if its
   * predecessor is not gone.
   */
  upgrade(): Promise<number> {
    return this.#upgrade(() => {});
  }

  async #upgrade(onStart: (start: SuccessorStart) => void): Promise<number> {
    const obstacle = this.#obstacle();
    if (obstacle !== undefined) throw new UpgradeError(`Cannot upgrade: ${obstacle}`);
    this.#state = "upgrading";
    this.#notify(notifyReloading);
    try {
      const listeners = openListeners();
      const command = this.#options.command ?? inFolder(commandLine(), this.#folder);
      const folder = this.#options.cwd ?? this.#folder;
      onStart({ command, folder });
      successorStarts(true);
      const pid = await startSuccessor(listeners, {
        command,
        env: this.#options.env ?? startEnvironment(),
        cwd: folder,
        readyTimeout: this.#options.readyTimeout ?? 60_000,
        signal: this.#stopped.signal,
      });
      this.#state = "succeeded";
      leaveToSuccessor();
      // systemd must know the new main process before this process may end.
      await this.#notify(() => notify({ MAINPID: pid, READY: 1 }));
      settled(listeners).then(() => this.#exit(pid));
      return pid;
    } catch (error) {
      this.#state = "ready";
      this.#notify(() => notifyUnlessEnding({ READY: 1 }));
      throw error;
    } finally {
      successorStarts(false);
    }
  }

  /**
   * Cancels the upgrade that is under way, and refuses further upgrades. Removes the PID file if it holds the id of
   * this process. Does nothing after a successful upgrade.
   */
  stop(): void {
    if (this.hasSuccessor) return;
    this.#stopped.abort();
    successorStarts(false);
    if (this.#options.pidFile !== undefined) removePidFile(this.#options.pidFile);
  }

  #notify(notification: () => Promise<boolean>): Promise<void> {
    this.#notified = this.#notified.then(() => notifyOrReport(notification));
    return this.#notified;
  }

  #obstacle(): string | undefined {
    const kept = keeper();
    return kept !== undefined
      ? `${kept}: run the service under 'graceful run', whose process stays`
      : this.#stopped.signal.aborted
      ? "the upgrader was stopped"
      : this.#state === "starting"
      ? "this process is not ready itself"
      : this.#state === "upgrading"
      ? "an upgrade is under way"
      : this.#state === "succeeded"
      ? "a successor has taken over"
      : supervisor() !== undefined
      ? `this process is a worker, and process ${
        supervisor()!.pid
      } starts its successors: send the signal there`
      : isThere(predecessor()?.pid)
      ? "the predecessor of this process is still draining"
      : undefined;
  }
}

/**
 * Returns a command whose program is found from the folder in which this process was started: not every runtime looks
 * for a relative path in the working directory of the new process.
 */
function inFolder([program = "", ...args]: readonly string[], folder = "."): readonly string[] {
  const isPath = program.includes("/") && !isAbsolute(program);
  return [isPath ? join(folder, program) : program, ...args];
}

/** Closes an inherited socket, and warns, because the service no longer listens at the address. */
function closeUnclaimed(socket: InheritedSocket): void {
  console.warn(
    `The inherited socket ${
      shownAddr(socket.addr)
    } was not asked for by this program, and is closed`,
  );
  new SharedListener(socket, true).close();
}

/**
 * Sends a notification to systemd. A failure is only reported, because the process can serve without
 * systemd's knowledge.
 */
async function notifyOrReport(notification: () => Promise<boolean>): Promise<void> {
  try {
    await notification();
  } catch (error) {
    reportError(error);
  }
}
