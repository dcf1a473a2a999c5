import { constants } from "node:os";
import { nodeCluster, workerThreads } from "../core/builtins.ts";
import { checkMilliseconds, checkSignal, checkText, refuse } from "../options/checks.ts";
import { GRACEFUL_REPLACEMENTS } from "../options/foreign_names.ts";
import { checkNames, type OptionNames } from "../options/names.ts";
import { checkHijacked, type WebSocketClosing } from "../options/hijacked.ts";
import { Upgrader } from "../upgrade/upgrader.ts";
import type { GracefulEvent } from "./events.ts";

/**
 * A function that `graceful` runs and waits for: a cleanup function, which runs after the servers are closed
 * (for example to end a database pool), or a hook, which runs earlier.
 */
export type Cleanup = () => unknown;

/** Options of {@linkcode graceful}. */
export interface GracefulOptions {
  /**
   * The length of the lame-duck phase in milliseconds, 0 to 2 147 483 647: the time for which the servers
   * keep serving before they drain. Readiness (`@x/graceful/health`) already fails, and each HTTP/1
   * response says `Connection: close`, so that load balancers and clients move away before anything is
   * refused. There is no lame-duck phase after an upgrade, because the successor already serves the
   * address, and none in a worker whose supervisor is gone, because the next supervisor waits for the
   * address.
   *
   * @default {0}
   */
  drainDelay?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, for which the servers may drain before they are closed
   * by force. All servers share one deadline, counted from the end of `drainDelay`.
   *
   * @default {15_000}
   */
  timeout?: number;
  /**
   * The signals that start the end. A second signal, of the same or another name, forces the end. Signals
   * that arrive within 500 ms of the first one count as copies of it: `deno task`, `bun run`, `node
   * --watch`, `concurrently`, nodemon and process managers send several signals for one end, sometimes two
   * different ones. While the event loop is blocked, the 500 ms do not pass. On Windows the default
   * includes SIGBREAK, and SIGTERM never comes.
   *
   * A signal that this process sends to itself with `process.kill` during the end also counts as a copy.
   * Worker threads get no signals, and `graceful` listens to none in them.
   *
   * @default {["SIGINT", "SIGTERM"]}
   */
  signals?: readonly string[];
  /** The AbortSignal that starts the end when it aborts, as a signal of the process does. */
  signal?: AbortSignal;
  /**
   * A message of the parent process that starts the end as a signal does: pm2 sends `"shutdown"` on
   * Windows, which has no signals (`shutdown_with_message`). Without the option messages have no effect.
   */
  shutdownOnMessage?: string;
  /**
   * With `"drain"`, an uncaught exception or an unhandled rejection starts the end. The error is reported
   * through `log` and in the report, and the exit code is 1. Further exceptions during the end are only
   * reported. Without the option the runtime ends the process at once, with all requests in flight.
   *
   * Code that has thrown may have left the process in any state. The drain serves the requests that have
   * nothing to do with that code, and lets the cleanup run.
   */
  exceptions?: "drain";
  /**
   * Functions that run when the end is decided and readiness fails, while the servers keep serving: to
   * deregister the service, or to tell peers. The drain starts when all functions are done and `drainDelay`
   * is over. A function that fails is reported, and the exit code is 1. The functions do not run after an
   * upgrade, since the successor serves the address.
   */
  beforeShutdown?: Cleanup | readonly Cleanup[];
  /**
   * The number of milliseconds, 0 to 2 147 483 647, that `beforeShutdown` may take. When they have passed
   * the drain starts, and a function that is not done is reported.
   *
   * @default {5_000}
   */
  beforeShutdownTimeout?: number;
  /**
   * Functions that run during the drain. The drain waits for them as it waits for a request, until the deadline of
   * `timeout`. Use them to finish a job from a queue, or to close subscriptions. A function that fails or is not done
   * by then is reported, and the exit code is 1. Use `server.onShutdown` for work that need not be waited for.
   */
  onDrain?: Cleanup | readonly Cleanup[];
  /**
   * The signal that starts an upgrade, usually `"SIGHUP"`. The same program is started again and inherits the
   * listeners. When the successor calls `graceful` itself, this process drains and exits. If the successor
   * does not call `graceful` in time, this process keeps serving, and the log says so. The servers must be
   * started with `handoff`, or listen on what `listen` returned.
   *
   * A SIGHUP that is sent because the terminal of the process was closed starts the end, as SIGTERM does. Under
   * `nohup` such a SIGHUP is ignored. This is recognized only on Linux; elsewhere every SIGHUP starts an upgrade.
   *
   * No upgrade starts in process 1 of a container, nor under a supervisor that would take the end of this process
   * for the end of the service. The log then says so.
   *
   * A signal that arrives while an upgrade is under way is ignored, and the log says so. If a signal
   * arrives while the predecessor is still draining, the upgrade starts when the predecessor has ended.
   */
  upgradeOn?: string;
  /**
   * The `Upgrader` of `@x/graceful/upgrade` that starts the successor. Pass an Upgrader to start a command
   * other than the command of this process, to write a PID file, or to change `readyTimeout`.
   */
  upgrader?: Upgrader;
  /**
   * The number of milliseconds, less than `timeout`, for which idle connections stay open when the drain
   * starts, so that a request that is already on the wire does not find its connection closed. The default
   * is 1 000, or half of a `timeout` shorter than 2 s, and 0 after a Ctrl-C on a terminal, where a person
   * waits.
   */
  idleGrace?: number;
  /**
   * Whether the drain waits for hijacked connections (WebSockets, CONNECT, upgraded connections), and how it
   * closes WebSockets. Ignored connections are cut when the drain is done, which does not count as forced.
   * WebSockets are sent a close frame in any case, when the functions of `onShutdown` have settled, for
   * which they have 5 s, or half of a `timeout` shorter than 10 s: an object sets the content of this frame,
   * and implies `"wait"`. The default code is 1001, or 1012 when a successor has taken over.
   *
   * @default {"wait"}
   */
  hijacked?: "wait" | "ignore" | WebSocketClosing;
  /**
   * Functions that run after the servers are closed, the last one first. A function that fails is reported
   * and does not stop the next one.
   */
  cleanup?: Cleanup | readonly Cleanup[];
  /**
   * The number of milliseconds, 0 to 2 147 483 647, that all of `cleanup` may take together. When they have
   * passed, the function that is not done is reported and no longer waited for. The remaining functions are
   * still started, but not waited for.
   *
   * @default {5_000}
   */
  cleanupTimeout?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, for which the process may stay alive after the end. The process is
   * then ended, even if something still keeps it alive, such as a forgotten timer or a connection that cannot be cut
   * off. Before that, the log names what keeps the process alive, if the runtime reports it. With `false` the process
   * is never ended by force.
   *
   * @default {1_000}
   */
  exit?: number | false;
  /**
   * The log of the end. The default writes lines to stderr: one at the start with the number of
   * connections, one a second that names the oldest request, and one at the end. On a terminal the lines in
   * between are redrawn in place, in color unless `NO_COLOR` is set. `false` writes nothing, not even
   * failures.
   *
   * A function is called with each event, and not waited for. An error of the function is reported on the
   * console and stops nothing. Whatever the log is, the events are also published on channels of
   * `node:diagnostics_channel`, see {@linkcode GracefulChannels}.
   */
  log?: false | ((event: GracefulEvent) => unknown);
}

/** Checked {@linkcode GracefulOptions} with their defaults. */
export interface GracefulSettings {
  readonly drainDelay: number;
  readonly timeout: number;
  readonly signals: readonly NodeJS.Signals[];
  readonly signal: AbortSignal | undefined;
  readonly shutdownOnMessage: string | undefined;
  readonly exceptions: "drain" | undefined;
  readonly beforeShutdown: readonly Cleanup[];
  readonly beforeShutdownTimeout: number;
  readonly onDrain: readonly Cleanup[];
  readonly upgradeOn: NodeJS.Signals | undefined;
  readonly upgrader: Upgrader | undefined;
  /** The option `idleGrace` in ms. Undefined without the option: the default depends on what starts the end. */
  readonly idleGrace: number | undefined;
  readonly hijacked: "wait" | "ignore" | WebSocketClosing;
  readonly cleanups: readonly Cleanup[];
  readonly cleanupTimeout: number;
  readonly exit: number | false;
  readonly log: GracefulOptions["log"];
}

/** The signals that a terminal, a service manager or an orchestrator sends to end a process. */
const DEFAULT_SIGNALS = ["SIGINT", "SIGTERM", "SIGBREAK"].filter((name) =>
  Object.hasOwn(constants.signals, name)
);

/** The signals that no process can listen to. */
const UNCATCHABLE: readonly string[] = ["SIGKILL", "SIGSTOP"];

const MILLISECONDS = [
  "drainDelay",
  "timeout",
  "idleGrace",
  "cleanupTimeout",
  "beforeShutdownTimeout",
] as const;

const NAMES: OptionNames<GracefulOptions> = {
  drainDelay: true,
  timeout: true,
  signals: true,
  signal: true,
  shutdownOnMessage: true,
  exceptions: true,
  beforeShutdown: true,
  beforeShutdownTimeout: true,
  onDrain: true,
  upgradeOn: true,
  upgrader: true,
  idleGrace: true,
  hijacked: true,
  cleanup: true,
  cleanupTimeout: true,
  exit: true,
  log: true,
};

/** Checks the options of `graceful`, and returns them with their defaults. Throws if an option is invalid. */
export function gracefulSettings(options: GracefulOptions): GracefulSettings {
  checkNames("call graceful()", options, NAMES, GRACEFUL_REPLACEMENTS);
  const as = (name: string) => `call graceful() as '${name}'`;
  for (const name of MILLISECONDS) checkMilliseconds(as(name), options[name], 0);
  const { exit = 1_000, hijacked = "wait", log, timeout = 15_000 } = options;
  if (exit !== false) {
    if (typeof exit !== "number") refuse(as("exit"), "false or a number of milliseconds", exit);
    checkMilliseconds(as("exit"), exit, 0);
  }
  if (options.idleGrace && options.idleGrace >= timeout) {
    throw new RangeError(
      `Cannot ${as("idleGrace")} must be less than 'timeout' (${timeout} ms): current value is ` +
        `${options.idleGrace}`,
    );
  }
  checkSignal(as("signal"), options.signal);
  checkHijacked(as, hijacked);
  checkText(as("shutdownOnMessage"), options.shutdownOnMessage);
  if (options.exceptions !== undefined && options.exceptions !== "drain") {
    refuse(as("exceptions"), '"drain" or absent', options.exceptions);
  }
  if (log !== undefined && log !== false && typeof log !== "function") {
    refuse(as("log"), "false or a function", log);
  }
  if (!workerThreads().isMainThread && options.signal === undefined) {
    refuse(
      as("signal"),
      "given in a worker thread, because no signal of the process reaches a worker thread",
      undefined,
    );
  }
  const signals = workerThreads().isMainThread
    ? checkedSignals("signals", options.signals ?? DEFAULT_SIGNALS)
    : [];
  return {
    drainDelay: options.drainDelay ?? 0,
    timeout,
    signals,
    signal: options.signal,
    shutdownOnMessage: options.shutdownOnMessage,
    exceptions: options.exceptions,
    beforeShutdown: checkedFunctions("beforeShutdown", options.beforeShutdown),
    beforeShutdownTimeout: options.beforeShutdownTimeout ?? 5_000,
    onDrain: checkedFunctions("onDrain", options.onDrain),
    upgradeOn: checkedUpgradeSignal(options, signals),
    upgrader: options.upgrader,
    idleGrace: options.idleGrace,
    hijacked,
    cleanups: checkedFunctions("cleanup", options.cleanup),
    cleanupTimeout: options.cleanupTimeout ?? 5_000,
    exit,
    log,
  };
}

function checkedFunctions(
  option: "beforeShutdown" | "onDrain" | "cleanup",
  given: Cleanup | readonly Cleanup[] = [],
): Cleanup[] {
  // The cast: the type of flat() does not see that a function is not an array.
  const functions = [given].flat() as Cleanup[];
  for (const fn of functions) {
    if (typeof fn !== "function") {
      refuse(`call graceful() as '${option}'`, "a function or an array of functions", fn);
    }
  }
  return functions;
}

function checkedSignals(option: string, names: readonly string[]): readonly NodeJS.Signals[] {
  if (!Array.isArray(names)) {
    refuse(`call graceful() as '${option}'`, "an array of signal names", names);
  }
  for (const name of names) {
    if (Object.hasOwn(constants.signals, name) && !UNCATCHABLE.includes(name)) continue;
    const full = `SIG${name}`.toUpperCase();
    const hint = Object.hasOwn(constants.signals, full) ? `, such as "${full}"` : "";
    refuse(
      `call graceful() as '${option}'`,
      `signals that a process can listen to on this system${hint}`,
      name,
    );
  }
  // The cast: each name is a key of `constants.signals`.
  return [...new Set(names)] as NodeJS.Signals[];
}

function checkedUpgradeSignal(
  { upgradeOn, upgrader }: GracefulOptions,
  signals: readonly string[],
): NodeJS.Signals | undefined {
  if (upgrader !== undefined && !(upgrader instanceof Upgrader)) {
    refuse("call graceful() as 'upgrader'", "an Upgrader", upgrader);
  }
  if (upgradeOn === undefined) return undefined;
  if (nodeCluster().isWorker) {
    const rule =
      "absent in a worker of node:cluster, because its primary replaces the worker (docs/clusters.md)";
    refuse("call graceful() as 'upgradeOn'", rule, upgradeOn);
  }
  if (!workerThreads().isMainThread) {
    const rule =
      "absent in a worker thread, because the main thread replaces the thread (docs/clusters.md)";
    refuse("call graceful() as 'upgradeOn'", rule, upgradeOn);
  }
  const [name] = checkedSignals("upgradeOn", [upgradeOn]);
  if (signals.includes(upgradeOn)) {
    refuse("call graceful() as 'upgradeOn'", "a signal that is not in 'signals'", upgradeOn);
  }
  return name;
}
