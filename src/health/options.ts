import { checkMilliseconds, checkType, refuse } from "../options/checks.ts";
import type { Handler } from "../options/serve.ts";

/**
 * Finds out whether something works. It fails by throwing, rejecting, or returning or resolving
 * with `false`; everything else is a success, so that `() => pool.query("SELECT 1")` will do.
 *
 * `signal` aborts at the check's timeout, with a `TimeoutError`; that of a readiness check also
 * when its server drains because the process ends, for its result matters no more. Pass it on:
 * a check that goes on regardless is not started again before it has ended, and fails until then.
 */
export type Check = (signal: AbortSignal) => unknown;

/** A {@linkcode Check} with options of its own. */
export interface CheckOptions {
  /** The check. */
  check: Check;
  /**
   * After how many milliseconds the check has failed, 1 to 2 147 483 647. The default is
   * {@linkcode HealthOptions.timeout}.
   */
  timeout?: number;
}

/** Options of {@linkcode health}. */
export interface HealthOptions {
  /**
   * What has to work for the process to be worth keeping, by name. Kubernetes restarts a container
   * whose liveness fails: nothing that a restart does not mend belongs here, no database. The
   * default is no check: a process that answers is alive.
   */
  liveness?: Readonly<Record<string, Check | CheckOptions>>;
  /**
   * What has to work for the process to be sent requests, by name. The name `shutdown` is taken, by
   * what fails when the process ends. The default is no check but that.
   */
  readiness?: Readonly<Record<string, Check | CheckOptions>>;
  /**
   * After how many milliseconds a check without a `timeout` of its own has failed, 1 to
   * 2 147 483 647. The default is just below the 1 s that a probe of Kubernetes waits unless its
   * `timeoutSeconds` says otherwise, so that the answer comes in time and says which one it was.
   *
   * @default {750}
   */
  timeout?: number;
  /**
   * Where liveness is asked for, as the path is written in a URL: the whole path of a request, also
   * where a framework has matched it.
   *
   * @default {"/livez"}
   */
  livePath?: string;
  /**
   * Where readiness is asked for, as the path is written in a URL.
   *
   * @default {"/readyz"}
   */
  readyPath?: string;
  /**
   * Whether queries can ask for each check: `?verbose` for the text that the API server of
   * Kubernetes gives (but with the reasons, which that withholds), `?format=json` for JSON. Names
   * and reasons are then shown to everybody who can reach the path.
   *
   * @default {false}
   */
  details?: boolean;
  /**
   * Called when a check that worked, or has never run, fails, with the error; and with undefined
   * when one that failed works again. What it throws is reported on the console and stops nothing.
   * `kind` tells checks apart that have the same name.
   *
   * The default writes a line to the console, on stderr.
   */
  onCheckChange?: (
    name: string,
    error: Error | undefined,
    kind: "liveness" | "readiness",
  ) => unknown;
  /**
   * Answers the requests for all other paths; it gets them untouched, with their `info`. The default
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

/** Throws for options that have the wrong type or are out of range. */
export function checkHealth(options: HealthOptions): void {
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
  // The cast: of which nothing is taken for granted.
  const options = Object(check) as Partial<Record<keyof CheckOptions, unknown>>;
  if (typeof options.check !== "function") {
    refuse(as(option), "a function, or an object with one as 'check'", check);
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
