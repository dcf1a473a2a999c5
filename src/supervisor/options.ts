import { availableParallelism } from "node:os";
import { workerThreads } from "../core/builtins.ts";
import { type Addr, sameAddr } from "../core/addr.ts";
import {
  checkInteger,
  checkMilliseconds,
  checkObject,
  checkSignal,
  checkText,
  checkType,
  refuse,
} from "../options/checks.ts";
import { checkNames, type OptionNames, type Replacements } from "../options/names.ts";
import type { SupervisorEvent } from "./events.ts";
import { parseAddress } from "./listen_address.ts";

/** The highest number of workers. A higher number is most likely a mistake. */
export const MAX_WORKERS = 1_024;
/**
 * The number of milliseconds after which a worker that does not report its readiness counts as ready, unless
 * `minUptime` is longer.
 */
const SILENCE = 5_000;
const READY_TIMEOUT = 60_000;
const MIN_UPTIME = 1_000;

/** Options of {@linkcode supervise}. */
export interface SupervisorOptions {
  /**
   * The program of the service and its arguments. The program must become the service itself: a wrapper such as
   * `npm start` does not pass the listeners on. The program is looked up again for each generation.
   */
  command: readonly string[];
  /**
   * The addresses to listen on: each is `[host:]port`, with the host `0.0.0.0` if there is none, or the path of a unix
   * socket, which has a slash. The workers inherit the sockets: `serve` finds a socket by its address. Sockets that
   * systemd has opened for this process (`LISTEN_FDS`) are passed on as well.
   *
   * Without an address, workers inherit no socket. That is for programs that do not listen: a program that opens a port
   * itself cannot run twice, so its new generations fail.
   */
  listen?: string | readonly string[];
  /**
   * Whether each worker gets its own listening sockets (SO_REUSEPORT) for the TCP addresses of `listen`, on Linux. The
   * kernel then spreads new connections evenly over the workers that are ready. Without the option all workers accept
   * from one queue, and an idle worker takes the next connection. Deno asks for `--unstable-net`; on Node this needs
   * version 26.1 or later.
   *
   * @default {false}
   */
  reuseport?: boolean;
  /**
   * The number of workers, 1 to 1024. `"auto"` is one for each processor that this process may use.
   *
   * @default {1}
   */
  workers?: number | "auto";
  /**
   * The folder of the service. The default is the folder in which this process was started. The path is resolved
   * for each generation: if the path leads through a symlink, a generation runs in the folder to which the link
   * points when the generation starts.
   */
  cwd?: string;
  /** Changes to the environment of this process. A variable that is `undefined` is removed. */
  env?: Readonly<Record<string, string | undefined>>;
  /** The path of a file that holds the id of this process while the service runs. */
  pidFile?: string;
  /**
   * The number of milliseconds, 1 to 2 147 483 647, that a worker may take to become ready before it is killed.
   *
   * @default {60_000}
   */
  readyTimeout?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, for which all workers of a new generation have to serve before the
   * current generation is told to end. If a new worker ends earlier, the current generation keeps serving.
   *
   * A worker that does not report its readiness counts as ready when it has been running for 5 s, or for `minUptime`
   * if that is longer. Once a worker of the service has reported its readiness, all workers have to.
   *
   * @default {1_000}
   */
  minUptime?: number;
  /**
   * The address at which the supervisor answers health checks, written as in `listen`: `/readyz` answers 200 while
   * all workers are ready, `/livez` always answers 200, and `/status` describes the workers.
   */
  health?: string;
  /**
   * Whether each line of the output of a worker begins with the number of the worker. Without the option, workers write
   * to the output of this process themselves.
   *
   * @default {false}
   */
  prefix?: boolean;
  /**
   * Whether the signals of the process control the supervisor. With `false`, only the methods of the
   * supervisor do.
   *
   * @default {true}
   */
  signals?: boolean;
  /** The AbortSignal that ends the service when it aborts, as SIGTERM does. */
  signal?: AbortSignal;
  /** The log. The default writes a line for each event to stderr, `false` writes nothing. */
  log?: false | ((event: SupervisorEvent) => unknown);
}

/** Checked {@linkcode SupervisorOptions} with their defaults. */
export interface SupervisorSettings {
  readonly command: readonly string[];
  readonly listen: readonly Addr[];
  readonly reuseport: boolean;
  readonly workers: number;
  readonly cwd: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pidFile: string | undefined;
  readonly readyTimeout: number;
  readonly minUptime: number;
  /** The number of milliseconds after which a worker that does not report its readiness counts as ready. */
  readonly silence: number;
  readonly health: Addr | undefined;
  readonly prefix: boolean;
  readonly signals: boolean;
  readonly signal: AbortSignal | undefined;
  readonly log: SupervisorOptions["log"];
}

const NAMES: OptionNames<SupervisorOptions> = {
  command: true,
  listen: true,
  reuseport: true,
  workers: true,
  cwd: true,
  env: true,
  pidFile: true,
  readyTimeout: true,
  minUptime: true,
  health: true,
  prefix: true,
  signals: true,
  signal: true,
  log: true,
};

const REPLACEMENTS: Replacements = {
  port: "did you mean 'listen'?",
  reusePort: "did you mean 'reuseport'?",
  instances: "did you mean 'workers'?",
  exec: "did you mean 'command'?",
};

const as = (name: string) => `supervise as '${name}'`;

/**
 * Checks the options, and returns them with their defaults.
 *
 * @throws {TypeError} If an option has the wrong type or names no address.
 * @throws {RangeError} If an option is out of range.
 */
export function supervisorSettings(options: SupervisorOptions): SupervisorSettings {
  checkNames("supervise", options, NAMES, REPLACEMENTS);
  for (const name of ["cwd", "pidFile", "health"] as const) checkText(as(name), options[name]);
  for (const name of ["reuseport", "prefix", "signals"] as const) {
    checkType(as(name), options[name], "boolean");
  }
  checkMilliseconds(as("readyTimeout"), options.readyTimeout, 1);
  checkMilliseconds(as("minUptime"), options.minUptime, 0);
  checkSignal(as("signal"), options.signal);
  const { log, health, minUptime, reuseport = false } = options;
  if (log !== undefined && log !== false && typeof log !== "function") {
    refuse(as("log"), "false or a function", log);
  }
  if (!workerThreads().isMainThread) {
    refuse(as("signals"), "used in the main thread, which signals reach", "a worker");
  }
  const listen = checkedListen(options.listen);
  if (reuseport && listen.every(({ transport }) => transport === "unix")) {
    refuse(as("reuseport"), "used with a TCP address in 'listen'", reuseport);
  }
  return {
    command: checkedCommand(options.command),
    listen,
    reuseport,
    workers: checkedWorkers(options.workers),
    cwd: options.cwd,
    env: checkedEnvironment(options.env),
    pidFile: options.pidFile,
    readyTimeout: options.readyTimeout ?? READY_TIMEOUT,
    minUptime: minUptime ?? MIN_UPTIME,
    silence: Math.max(minUptime ?? 0, SILENCE),
    health: health === undefined ? undefined : checkedHealth(health, listen),
    prefix: options.prefix ?? false,
    signals: options.signals ?? true,
    signal: options.signal,
    log,
  };
}

function checkedCommand(command: unknown): readonly string[] {
  const rule = "a program and its arguments";
  if (!Array.isArray(command) || command.length === 0) refuse(as("command"), rule, command);
  for (const word of command) {
    if (typeof word !== "string" || word.includes("\0")) refuse(as("command"), rule, word);
  }
  if (command[0] === "") refuse(as("command"), rule, "");
  return [...command];
}

function checkedListen(listen: string | readonly string[] = []): readonly Addr[] {
  const addresses = [listen].flat().map((text) => parseAddress(as("listen"), text));
  for (const [index, addr] of addresses.entries()) {
    const isDouble = addresses.slice(0, index).some((other) => sameAddr(addr, other));
    if (isDouble && !isAnyPort(addr)) {
      refuse(as("listen"), "different addresses", [listen].flat().join(" "));
    }
  }
  return addresses;
}

/** Reports whether the system chooses the port, so that two equal addresses are different listeners. */
function isAnyPort(addr: Addr): boolean {
  return addr.transport === "tcp" && addr.port === 0;
}

function checkedHealth(text: string, listen: readonly Addr[]): Addr {
  const addr = parseAddress(as("health"), text);
  if (listen.some((other) => sameAddr(addr, other)) && !isAnyPort(addr)) {
    refuse(as("health"), "an address that is not in 'listen'", text);
  }
  return addr;
}

function checkedWorkers(workers: unknown = 1): number {
  if (workers === "auto") return Math.min(availableParallelism(), MAX_WORKERS);
  if (typeof workers !== "number") refuse(as("workers"), '"auto" or a number', workers);
  checkInteger(as("workers"), workers, 1, MAX_WORKERS);
  return workers;
}

function checkedEnvironment(
  env: Readonly<Record<string, string | undefined>> = {},
): Readonly<Record<string, string | undefined>> {
  checkObject(as("env"), env);
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && typeof value !== "string") {
      refuse(as("env"), `an object of strings, also at '${name}'`, value);
    }
  }
  return { ...env };
}
