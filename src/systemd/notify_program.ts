/** The program `systemd-notify`, which sends messages where the runtime cannot call the C library. */
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import { setTimeout } from "node:timers";
import { childProcess, nodeUtil } from "../core/builtins.ts";

/** The number of milliseconds to wait for a service manager whose queue is full. */
const PATIENCE = 5_000;

/**
 * Runs `systemd-notify`, which sends the lines as one datagram to the socket of `NOTIFY_SOCKET`. The program ends when
 * the service manager has read them: once the sender is gone, the manager cannot find out which service the sender
 * belonged to.
 *
 * With `keepsAlive` the program keeps this process alive.
 *
 * @throws {Error} If the program does not exist, fails, or takes longer than 5 s.
 */
export async function runSystemdNotify(
  lines: readonly string[],
  keepsAlive: boolean,
): Promise<void> {
  try {
    await run(lines, keepsAlive);
  } catch (error) {
    const why = reasonOf(error);
    throw why === undefined ? error : new Error(`Cannot notify: ${why}`, { cause: error });
  }
}

/** Returns why the program could not be started, or undefined if it was. */
function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === "NotCapable") {
    return "Deno needs --allow-env=NOTIFY_SOCKET and --allow-ffi, or else --allow-env and " +
      "--allow-run=systemd-notify";
  }
  return "code" in error && error.code === "ENOENT"
    ? "the program 'systemd-notify' is not in PATH, and this runtime cannot call the C library instead"
    : undefined;
}

/**
 * Runs the program, and kills it if this process ends first: the program would wait forever for a manager
 * that reads nothing.
 */
async function run(lines: readonly string[], keepsAlive: boolean): Promise<void> {
  const running = nodeUtil().promisify(childProcess().execFile)("systemd-notify", lines);
  const kill = () => void running.child.kill();
  const timer = setTimeout(kill, PATIENCE);
  if (!keepsAlive) timer.unref();
  // A program that could not be started has no process.
  if (!keepsAlive && running.child.pid !== undefined) unref(running.child);
  process.once("exit", kill);
  try {
    await running;
  } finally {
    clearTimeout(timer);
    process.off("exit", kill);
  }
}

function unref(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    // The streams of a child process are sockets, which their types do not say.
    if (stream !== null && "unref" in stream && typeof stream.unref === "function") stream.unref();
  }
}
