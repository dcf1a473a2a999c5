import process from "node:process";
import { constants } from "node:os";
import { adopt } from "../adopt.ts";
import { ShutdownIncompleteError } from "../errors.ts";
import { checkMilliseconds, checkSignal } from "../checks.ts";
import type { ShutdownOptions } from "../options.ts";
import type { NativeServer } from "../runtime/node_adopt.ts";
import type { ShutdownReport } from "../report.ts";
import { DrivenServer, type Server } from "../server.ts";
import { Upgrader } from "../upgrade/upgrader.ts";
import { Succession } from "./succession.ts";

/** How long idle connections stay open after an upgrade, in ms, unless `idleGrace` says otherwise. */
const UPGRADE_IDLE_GRACE = 1_000;

/** A function that runs when the servers are closed, such as one that ends a database pool. */
export type Cleanup = () => unknown;

/** Options of {@linkcode graceful}. */
export interface GracefulOptions {
  /**
   * For how many milliseconds the servers may drain, 0 to 2 147 483 647, before they are closed by
   * force.
   *
   * @default {15_000}
   */
  timeout?: number;
  /**
   * The signals that start it. A second one, of the same or another name, forces.
   *
   * @default {["SIGINT", "SIGTERM"]}
   */
  signals?: readonly string[];
  /** Starts it as well, when it aborts. */
  signal?: AbortSignal;
  /**
   * The signal at which a new process takes over, `"SIGHUP"` by custom: the same program is started
   * again and inherits the listeners, and when its own `graceful` is reached this process drains
   * and exits. If it never is, this process serves on and says so. The servers have to be made with
   * `handoff`, or to listen on what `listen` returned.
   *
   * A signal that comes while an upgrade is under way is ignored, and says so; one that comes while
   * the process before this one is still draining waits for its end.
   */
  upgradeOn?: string;
  /** What starts the new process, if its defaults do not fit: another command, a PID file. */
  upgrader?: Upgrader;
  /**
   * For how many milliseconds idle connections stay open when the drain starts, so that a request
   * that is already on the wire does not find its connection closed. The default is 0, and 1 000
   * after an upgrade, where nobody is in a hurry.
   */
  idleGrace?: number;
  /**
   * Runs after the servers are closed; of several the last one first. One that fails is reported
   * and does not stop the next.
   */
  cleanup?: Cleanup | readonly Cleanup[];
  /**
   * How many milliseconds after all that the process is ended if something still keeps it alive,
   * 0 to 2 147 483 647: a timer that was forgotten, a connection that nothing can cut off. It says
   * so on the console first. False leaves the process alone.
   *
   * @default {1_000}
   */
  exit?: number | false;
}

/** What became of a process's servers. */
export interface GracefulReport {
  /**
   * What started it: a signal's name, `"aborted"`, `"upgraded"` by a successor that has taken over,
   * or `"finished"` by a server of its own accord.
   */
  readonly cause: string;
  /** One report a server, in the order in which they were given. */
  readonly servers: readonly ShutdownReport[];
  /** Whether connections were cut off at the deadline. */
  readonly forced: boolean;
  /** What closing a listener, or a cleanup function, has thrown. */
  readonly errors: readonly unknown[];
  /** What `process.exitCode` was set to: 0, or 1 if it was forced or a cleanup failed. */
  readonly exitCode: number;
}

/**
 * The end of a process: waits for SIGINT or SIGTERM, shuts all servers down under one deadline,
 * closes by force what is left at it, runs the cleanup and sets the exit code.
 *
 * The process then ends by itself, or 1 s later by force (`exit`). A second signal closes everything
 * and ends it at once, with 128 and the signal's number as its exit code.
 *
 * @throws {TypeError} If an option has the wrong type, or a server is none.
 * @throws {RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { graceful, serve } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 9527 });
 * await graceful(server, { timeout: 15_000, cleanup: () => console.log("bye") });
 * ```
 */
export async function graceful(
  servers: Server | NativeServer | readonly (Server | NativeServer)[],
  options: GracefulOptions = {},
): Promise<GracefulReport> {
  const { timeout = 15_000, signals = ["SIGINT", "SIGTERM"], signal } = options;
  checkMilliseconds("be graceful as 'timeout'", timeout, 0);
  checkSignal("be graceful as 'signal'", signal);
  const { exit = 1_000 } = options;
  if (exit !== false) checkMilliseconds("be graceful as 'exit'", exit, 0);
  const cleanups = checkedCleanups(options.cleanup);
  checkSignalNames("signals", signals);
  const upgradeOn = checkedUpgradeSignal(options, signals);
  checkMilliseconds("be graceful as 'idleGrace'", options.idleGrace, 0);
  const driven = [servers].flat().map(asServer);

  const succession = new Succession(driven, upgradeOn, options.upgrader);
  const end = new EndOfProcess(signals, driven);
  try {
    await succession.begin();
    const cause = await end.cause(signal, succession.succeeded);
    await succession.end();
    const { idleGrace = cause === "upgraded" ? UPGRADE_IDLE_GRACE : 0 } = options;
    const errors: unknown[] = [];
    const reports = await Promise.all(
      driven.map((server) => shutdownOrClose(server, { timeout, idleGrace }, errors)),
    );
    await runAll(cleanups, errors);
    const forced = reports.some((report) => report.forced > 0);
    const exitCode = forced || errors.length > 0 ? 1 : 0;
    process.exitCode = exitCode;
    if (exit !== false) exitAfter(exit, exitCode);
    return { cause, servers: reports, forced, errors, exitCode };
  } finally {
    end.release();
    succession.release();
  }
}

function asServer(server: Server | NativeServer): Server {
  return server instanceof DrivenServer ? server : adopt(server as NativeServer);
}

function checkedCleanups(cleanup: GracefulOptions["cleanup"] = []): Cleanup[] {
  const cleanups = [cleanup].flat() as Cleanup[];
  for (const fn of cleanups) {
    if (typeof fn === "function") continue;
    throw new TypeError(
      `Cannot be graceful as 'cleanup' must be a function or several: current value is ${
        String(fn)
      }`,
    );
  }
  return cleanups;
}

function checkSignalNames(
  option: string,
  signals: readonly string[],
): asserts signals is readonly NodeJS.Signals[] {
  for (const name of signals) {
    if (name in constants.signals) continue;
    throw new TypeError(
      `Cannot be graceful as '${option}' must be signals of this system: current value is "${name}"`,
    );
  }
}

function checkedUpgradeSignal(
  { upgradeOn, upgrader }: GracefulOptions,
  signals: readonly string[],
): NodeJS.Signals | undefined {
  if (upgrader !== undefined && !(upgrader instanceof Upgrader)) {
    throw new TypeError(
      `Cannot be graceful as 'upgrader' must be an Upgrader: current value is ${String(upgrader)}`,
    );
  }
  if (upgradeOn === undefined) return undefined;
  const names = [upgradeOn];
  checkSignalNames("upgradeOn", names);
  if (!signals.includes(upgradeOn)) return names[0];
  throw new TypeError(
    `Cannot be graceful as 'upgradeOn' must be none of 'signals': current value is "${upgradeOn}"`,
  );
}

/** The signals of the process, for as long as `graceful` runs. */
class EndOfProcess {
  readonly #signals: readonly NodeJS.Signals[];
  readonly #servers: readonly Server[];
  readonly #first = Promise.withResolvers<string>();
  #ending = false;

  constructor(signals: readonly NodeJS.Signals[], servers: readonly Server[]) {
    this.#signals = signals;
    this.#servers = servers;
    for (const name of signals) process.on(name, this.#onSignal);
  }

  /** Resolves with what starts the end: `signal`, a successor, or what happens to the process. */
  async cause(signal: AbortSignal | undefined, succeeded: Promise<unknown>): Promise<string> {
    const start = (cause: string) => {
      this.#ending = true;
      this.#first.resolve(cause);
    };
    const onAbort = () => start("aborted");
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort);
    for (const server of this.#servers) server.finished.then(() => start("finished"));
    // Nobody was in a hurry: the first signal of those that end the process is still to come.
    succeeded.then(() => this.#first.resolve("upgraded"));
    const cause = await this.#first.promise;
    signal?.removeEventListener("abort", onAbort);
    return cause;
  }

  release(): void {
    for (const name of this.#signals) process.off(name, this.#onSignal);
  }

  #onSignal = (name: NodeJS.Signals): void => {
    if (this.#ending) this.#force(name);
    this.#ending = true;
    this.#first.resolve(name);
  };

  /** Somebody is in a hurry: a second signal does not wait for anything. */
  #force(name: NodeJS.Signals): void {
    for (const server of this.#servers) server.close().catch(() => {});
    process.exit(128 + constants.signals[name]);
  }
}

/** Ends the process, unless it ends by itself before. */
function exitAfter(ms: number, exitCode: number): void {
  const timer = setTimeout(() => {
    const what = process.getActiveResourcesInfo().join(", ") || "something";
    console.error(`The process is kept alive by ${what}: ending it with exit code ${exitCode}`);
    process.exit(exitCode);
  }, ms);
  timer.unref();
}

async function shutdownOrClose(
  server: Server,
  options: ShutdownOptions,
  errors: unknown[],
): Promise<ShutdownReport> {
  const start = performance.now();
  try {
    return await server.shutdown(options);
  } catch (error) {
    if (error instanceof ShutdownIncompleteError) {
      await server.close();
      return { ...error.report, forced: error.report.connections.length };
    }
    // The drain is complete, but a listener could not be closed.
    report(error, errors);
    const duration = performance.now() - start;
    const nothing = { polls: 0, idle: 0, drained: 0, forced: 0, connections: [] };
    return { reason: "drained", duration, ...nothing };
  }
}

/** Runs them one after the other, the last one first. */
async function runAll(cleanups: readonly Cleanup[], errors: unknown[]): Promise<void> {
  for (const cleanup of cleanups.toReversed()) {
    try {
      await cleanup();
    } catch (error) {
      report(error, errors);
    }
  }
}

function report(error: unknown, errors: unknown[]): void {
  console.error(error);
  errors.push(error);
}
