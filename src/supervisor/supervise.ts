import type { Addr } from "../core/addr.ts";
import type { Server } from "../server/server.ts";
import { writePidFile } from "../upgrade/pid_file.ts";
import { emitTo, type SupervisorEvent } from "./events.ts";
import { serveHealth } from "./health.ts";
import { Listeners } from "./listeners.ts";
import { logToStderr } from "./log.ts";
import { type SupervisorOptions, supervisorSettings } from "./options.ts";
import { RunningSupervisor } from "./running_supervisor.ts";
import type { Supervisor } from "./supervisor.ts";
import { whenFree } from "./when_free.ts";
import { checkNodeVersion } from "../runtime/host/node_version.ts";

/**
 * Turns this process into a supervisor, which does not serve requests itself. The supervisor keeps its process id,
 * holds the listening sockets, and runs workers that accept from one queue. Resolves when the listeners are open and
 * the workers are started; the workers may not be ready yet.
 *
 * The signals of the process control the service:
 *
 * - SIGHUP starts a new generation of workers, with the command, the environment and the folder as they are at that
 *   time. When all new workers are ready and have served for `minUptime`, the workers of the current generation get
 *   SIGTERM and drain. If a new worker ends before that, the current generation keeps serving.
 * - SIGTERM and SIGINT are passed on to the workers once, and the supervisor waits for their end.
 * - SIGTTIN adds a worker, and SIGTTOU removes one.
 * - SIGUSR1 and SIGUSR2 are passed on to the workers that are ready.
 *
 * A worker that ends by itself is replaced after a pause, which grows with each crash. When five workers in a row
 * have ended before they were ready for `minUptime`, the service ends.
 *
 * Deno asks for `--allow-ffi --allow-env --allow-run --allow-net`, and for `--allow-read --allow-write` for unix
 * sockets and the PID file.
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
  const onOccupied = (addr: Addr) => emit({ type: "occupied", addr });
  const listeners = await Listeners.open(settings, onOccupied);
  let supervisor: RunningSupervisor | undefined;
  let health: Server | undefined;
  try {
    if (settings.health !== undefined) {
      const serveStatus = () => serveHealth(settings.health!, () => supervisor!.status());
      health = await whenFree(settings.health, serveStatus, onOccupied);
    }
    if (pidFile !== undefined) writePidFile(pidFile);
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
