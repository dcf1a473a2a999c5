import { checkMilliseconds, checkType, refuse } from "../options/checks.ts";
import { checkNames, type OptionNames } from "../options/names.ts";
import type { Handler } from "../options/serve.ts";

/**
 * A function that finds out whether something works. The check fails if the function throws or rejects, or if it
 * returns or resolves with `false`. Every other result is a success, so `() => pool.query("SELECT 1")` is a check.
 *
 * `signal` aborts at the timeout of the check, with a `TimeoutError`. The signal of a readiness check also aborts
 * when the server drains because the process ends, since the result no longer matters. Pass the signal on: a check
 * that ignores the signal is not started again before it has ended, and counts as failed until then.
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
   * The checks, by name, that show whether the process should be kept running. Kubernetes restarts a container
   * whose liveness fails, so check only what a restart can repair, and no database, for example. By default there
   * is no check: a process that answers is alive.
   */
  liveness?: Readonly<Record<string, Check | CheckOptions>>;
  /**
   * The checks, by name, that show whether the process should get requests. The name `shutdown` is reserved for
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
   * The path of the liveness probe, as written in a URL: the whole path of the request, even if the handler is
   * mounted below a part of that path.
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
   * A function that is called when the result of a check changes: with the error when a check fails for the first
   * time or after a success, and with undefined when a failed check works again. `kind` distinguishes checks of the
   * same name. An error of the function is reported on the console, and stops nothing.
   *
   * The default writes a line to the console, on stderr.
   */
  onCheckChange?: (
    name: string,
    error: Error | undefined,
    kind: "liveness" | "readiness",
  ) => unknown;
  /**
   * The handler for all other paths. It gets each request unchanged, together with its `info`. The default
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
    refuse(
      as(name),
      "absent, because this name is reserved for the end of the process",
      options.readiness[SHUTDOWN],
    );
  }
  checkMilliseconds(as("timeout"), options.timeout, 1);
  checkPaths(options);
  checkType(as("details"), options.details, "boolean");
  checkType(as("onCheckChange"), options.onCheckChange, "function");
  checkType(as("next"), options.next, "function");
}

/**
 * Throws unless `checks` is an object whose values are checks. Any other value would silently mean that there
 * are no checks.
 */
function checkChecks(option: string, checks: unknown): void {
  if (checks === undefined) return;
  if (!isPlainObject(checks)) refuse(as(option), "an object of checks by name", checks);
  for (const [name, check] of Object.entries(checks)) {
    if (!/^\P{Cc}+$/u.test(name)) {
      refuse(as(option), "an object whose names are not empty and have no newline", name);
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
  // An instance of a class with a method `check` may have other properties, so its names are not
  // checked.
  if (isPlainObject(check)) {
    checkNames(`make a health handler with '${option}'`, options, CHECK_NAMES);
  }
  checkMilliseconds(as(`${option}.timeout`), options.timeout, 1);
}

/**
 * Returns whether a value is an object literal or the namespace of a module. Other objects, such as a Map, do
 * not hold their content in properties.
 */
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
  // The slash is checked first, because any other first character may make the URL invalid.
  return path.startsWith("/") && new URL(`http://localhost${path}`).pathname === path;
}

function as(option: string): string {
  return `make a health handler as '${option}'`;
}
