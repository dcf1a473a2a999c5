import { checkMilliseconds, checkType, refuse } from "../options/checks.ts";
import { checkNames, type OptionNames } from "../options/names.ts";
import type { Handler } from "../options/serve.ts";

/**
 * A function that finds out whether something works. The check fails if the function throws or rejects, or if it
 * returns or resolves with `false`. Every other result is a success, so `() => pool.query("SELECT 1")` is a check.
 *
 * `signal` aborts at the timeout of the check, with a `TimeoutError`. The signal of a readiness check also aborts
 * when the server drains because the process ends, since the result no longer matters. Pass the signal on: a check
 * that goes on regardless is not started again before it has ended, and fails until then.
 */
export type Check = (signal: AbortSignal) => unknown;

/** A {@linkcode Check} with its own options. */
export interface CheckOptions {
  /** The function to run. */
  check: Check;
  /**
   * The number of milliseconds, 1 to 2 147 483 647, after which the check has failed. The default is
   * {@linkcode HealthOptions.timeout}.
   */
  timeout?: number;
}

/** Options of {@linkcode health}. */
export interface HealthOptions {
  /**
   * The checks that tell whether the process is worth keeping, by name. Kubernetes restarts a container whose
   * liveness fails, so check only what a restart repairs: not a database. The default is no check: a process that
   * answers is alive.
   */
  liveness?: Readonly<Record<string, Check | CheckOptions>>;
  /**
   * The checks that tell whether the process should be sent requests, by name. The name `shutdown` is reserved for
   * the failure at the end of the process. By default there is no other check.
   */
  readiness?: Readonly<Record<string, Check | CheckOptions>>;
  /**
   * The number of milliseconds, 1 to 2 147 483 647, after which a check without its own `timeout` has failed. The
   * default, 750 ms, is just below the 1 s that a Kubernetes probe waits unless `timeoutSeconds` says otherwise, so
   * that the answer arrives in time and names the check.
   *
   * @default {750}
   */
  timeout?: number;
  /**
   * The path of the liveness probe, as written in a URL: the whole path of the request, even if a framework has
   * matched a part of it.
   *
   * @default {"/livez"}
   */
  livePath?: string;
  /**
   * The path of the readiness probe, as written in a URL.
   *
   * @default {"/readyz"}
   */
  readyPath?: string;
  /**
   * Whether queries can ask for the result of each check: `?verbose` for the text of the Kubernetes API server (with
   * the reasons, which the API server withholds), `?format=json` for JSON. Names and reasons are then shown to
   * everybody who can reach the path.
   *
   * @default {false}
   */
  details?: boolean;
  /**
   * Called with the error when a check fails that had worked or had never run, and with undefined when a check that
   * had failed works again. `kind` tells checks of the same name apart. What the function throws is reported on the
   * console, and stops nothing.
   *
   * The default writes a line to the console, on stderr.
   */
  onCheckChange?: (
    name: string,
    error: Error | undefined,
    kind: "liveness" | "readiness",
  ) => unknown;
  /**
   * Answers the requests for all other paths, which it gets unchanged together with their `info`. The default
   * answers 404.
   */
  next?: Handler;
}

/** The default of `livePath`. */
export const LIVE_PATH = "/livez";

/** The default of `readyPath`. */
export const READY_PATH = "/readyz";

/** The name under which readiness fails at the end of the process. */
export const SHUTDOWN = "shutdown";

const NAMES: OptionNames<HealthOptions> = {
  liveness: true,
  readiness: true,
  timeout: true,
  livePath: true,
  readyPath: true,
  details: true,
  onCheckChange: true,
  next: true,
};

const CHECK_NAMES: OptionNames<CheckOptions> = { check: true, timeout: true };

/** Throws for options that have the wrong type or are out of range. */
export function checkHealth(options: HealthOptions): void {
  checkNames("make a health handler", options, NAMES);
  checkChecks("liveness", options.liveness);
  checkChecks("readiness", options.readiness);
  if (options.readiness !== undefined && Object.hasOwn(options.readiness, SHUTDOWN)) {
    const name = `readiness.${SHUTDOWN}`;
    refuse(as(name), "absent, for that is the end of the process", options.readiness[SHUTDOWN]);
  }
  checkMilliseconds(as("timeout"), options.timeout, 1);
  checkPaths(options);
  checkType(as("details"), options.details, "boolean");
  checkType(as("onCheckChange"), options.onCheckChange, "function");
  checkType(as("next"), options.next, "function");
}

/** Throws unless `checks` is an object whose values are checks: anything else would count as no checks. */
function checkChecks(option: string, checks: unknown): void {
  if (checks === undefined) return;
  if (!isPlainObject(checks)) refuse(as(option), "an object of checks by name", checks);
  for (const [name, check] of Object.entries(checks)) {
    if (!/^\P{Cc}+$/u.test(name)) {
      refuse(as(option), "of names on one line that are not empty", name);
    }
    checkCheck(`${option}.${name}`, check);
  }
}

function checkCheck(option: string, check: unknown): void {
  if (typeof check === "function") return;
  // The cast: every property is checked before use.
  const options = Object(check) as Partial<Record<keyof CheckOptions, unknown>>;
  if (typeof options.check !== "function") {
    refuse(as(option), "a function, or an object with one as 'check'", check);
  }
  // An instance of a class with the method has properties of its own.
  if (isPlainObject(check)) {
    checkNames(`make a health handler with '${option}'`, options, CHECK_NAMES);
  }
  checkMilliseconds(as(`${option}.timeout`), options.timeout, 1);
}

/** Whether a value is an object literal or the namespace of a module: other objects keep things elsewhere. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Throws for paths that no URL of a request can have, and for two equal paths. */
function checkPaths({ livePath = LIVE_PATH, readyPath = READY_PATH }: HealthOptions): void {
  for (const [option, path] of Object.entries({ livePath, readyPath })) {
    if (typeof path === "string" && isPathOfUrl(path)) continue;
    refuse(as(option), 'a path as it is written in a URL, with "/" first', path);
  }
  if (livePath === readyPath) refuse(as("readyPath"), "another path than 'livePath'", readyPath);
}

function isPathOfUrl(path: string): boolean {
  // The slash first, for anything else there may make the URL an invalid one.
  return path.startsWith("/") && new URL(`http://localhost${path}`).pathname === path;
}

function as(option: string): string {
  return `make a health handler as '${option}'`;
}
