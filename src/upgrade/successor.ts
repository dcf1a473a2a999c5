/** The start of a successor, and its life until it is ready. */
import { printable } from "../core/printable.ts";
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import type { Readable } from "node:stream";
import { childProcess } from "../core/builtins.ts";
import { UpgradeError } from "../core/errors.ts";
import { killMarked } from "../runtime/linux/processes.ts";
import { withArgumentsAsTheyAre } from "../runtime/host/program_path.ts";
import { isMissing, missingFolder } from "../runtime/host/missing_folder.ts";
import { sockets } from "../runtime/sockets.ts";
import { HANDOVER, writeHandover } from "../listener/handover.ts";
import type { SharedListener } from "../listener/shared_listener.ts";
import { onReadyLine } from "./ready_line.ts";

/** The descriptor on which the successor says that it is ready: the first one after stdin, stdout and stderr. */
const READY_FD = 3;
/** The first descriptor of the listeners. */
const FIRST_LISTENER_FD = 4;

/**
 * The number of attempts to start a successor, if a SIGHUP ends each before it is ready. Until the successor has loaded
 * this package, the default action of SIGHUP ends it. The signal asks for the newest release, so another attempt is
 * made.
 */
const STARTS = 3;

/** The options of starting a successor. */
export interface SuccessorOptions {
  readonly command: readonly string[];
  readonly cwd: string | undefined;
  /** The environment variables of the successor. The variable of the handover is added. */
  readonly env: NodeJS.ProcessEnv;
  /** The number of milliseconds that the successor may take to become ready. */
  readonly readyTimeout: number;
  /** Ends the successor when it aborts, unless the successor is ready. */
  readonly signal: AbortSignal;
}

/**
 * Starts a process that inherits the listeners, and resolves with its process id when the process is ready. A process
 * that does not become ready is killed, with all programs that it has started, and leaves nothing behind.
 *
 * @throws {UpgradeError} If the process cannot be started, ends before it is ready, or takes too long.
 */
export async function startSuccessor(
  listeners: readonly SharedListener[],
  options: SuccessorOptions,
): Promise<number> {
  for (let starts = 1;; starts++) {
    try {
      return await startOnce(listeners, options);
    } catch (error) {
      if (!(error instanceof HungUpError) || starts === STARTS) throw error;
    }
  }
}

/** The error of a successor that a SIGHUP has ended before it was ready. */
class HungUpError extends UpgradeError {}

async function startOnce(
  listeners: readonly SharedListener[],
  options: SuccessorOptions,
): Promise<number> {
  const handover = handoverOf(listeners);
  const child = spawnWith(listeners, handover, options);
  // The cast: a `pipe` is readable. It may be missing if no process was started.
  const pipe = child.stdio?.[READY_FD] as Readable | undefined;
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    // A process that was never started does not exit.
    child.once("error", () => resolve());
  });
  try {
    await ready(child, pipe, options);
    child.unref();
    return child.pid!;
  } catch (error) {
    // A program that was started by a wrapper outlives the wrapper.
    await killMarked(handover);
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
    }
    await exited;
    throw error;
  } finally {
    pipe?.destroy();
  }
}

/** Returns the environment variables that tell the successor what it inherits. */
function handoverOf(listeners: readonly SharedListener[]): Record<string, string> {
  return writeHandover({
    pid: process.pid,
    ready: READY_FD,
    listeners: listeners.map(({ inheritedSocket }, index) => ({
      ...inheritedSocket,
      fd: FIRST_LISTENER_FD + index,
    })),
  });
}

function spawnWith(
  listeners: readonly SharedListener[],
  handover: Readonly<Record<string, string>>,
  { command, cwd, env }: SuccessorOptions,
): ChildProcess {
  const [program, ...args] = command;
  try {
    return sockets().withPassable(
      listeners.map(({ inheritedSocket }) => inheritedSocket.fd),
      (fds) =>
        childProcess().spawn(withArgumentsAsTheyAre(program!), args, {
          cwd,
          env: { ...withoutOurs(env), ...(cwd === undefined ? {} : { PWD: cwd }), ...handover },
          stdio: ["inherit", "inherit", "inherit", "pipe", ...fds],
        }),
    );
  } catch (cause) {
    throw notStarted({ command, cwd }, cause);
  }
}

/**
 * The variables that are meant only for this process: they describe what it has inherited, that it has to feed
 * systemd's watchdog, and the channel to its parent. The successor will feed the watchdog in its own right. Without the
 * removal, a successor on Node would take the pipe of its readiness for the channel, and end when it closes the pipe.
 */
const OURS: readonly string[] = [
  HANDOVER,
  "LISTEN_FDS",
  "LISTEN_PID",
  "LISTEN_FDNAMES",
  "WATCHDOG_PID",
  "NODE_CHANNEL_FD",
  "NODE_CHANNEL_SERIALIZATION_MODE",
];

function withoutOurs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !OURS.includes(name)));
}

/** Resolves when the child is ready, and rejects when it can no longer become ready. */
async function ready(
  child: ChildProcess,
  pipe: Readable | undefined,
  { command, cwd, readyTimeout, signal }: SuccessorOptions,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const giveUp = (why: string) => afterReading(() => reject(new UpgradeError(why)));
  const timer = setTimeout(
    () =>
      giveUp(
        `The new process did not reach graceful() within readyTimeout (${readyTimeout} ms), and was killed`,
      ),
    readyTimeout,
  );
  const onAbort = () => giveUp("The upgrade was stopped before the new process was ready");
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  child.once("error", (cause) => reject(notStarted({ command, cwd }, cause)));
  child.once("exit", (code, signalName) => {
    const how = signalName === null ? `exited with code ${code}` : `was ended by ${signalName}`;
    // With exit code 0 the program itself has probably reported nothing.
    const hint = code === 0 ? ": it is ready when it reaches graceful()" : "";
    const Reason = signalName === "SIGHUP" ? HungUpError : UpgradeError;
    reject(new Reason(`The new process ${how} before it was ready${hint}`));
  });
  onReadyLine(
    pipe,
    resolve,
    (said) =>
      giveUp(`The new process wrote ${JSON.stringify(said)} to the pipe on which it says "ready"`),
  );
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Runs a function after all data that has already arrived was read. If this process was blocked, its timers run
 * before its reads, and a successor that has already written that it is ready must not be killed.
 */
function afterReading(run: () => void): void {
  setTimeout(() => setImmediate(run));
}

function notStarted(
  { command, cwd }: Pick<SuccessorOptions, "command" | "cwd">,
  cause: unknown,
): UpgradeError {
  if (cwd !== undefined && isMissing(cwd)) {
    return new UpgradeError(`Cannot start the new process, as ${missingFolder(cwd)}`, { cause });
  }
  return new UpgradeError(`Cannot start the new process with "${printable(command.join(" "))}"`, {
    cause,
  });
}
