import { nodeUtil } from "../core/builtins.ts";
import { printable } from "../core/printable.ts";
import { MAX_TIMER, refuse } from "../options/checks.ts";
import { suggestion } from "../options/names.ts";
import { parseAddress } from "../supervisor/listen_address.ts";
import { MAX_WORKERS, type SupervisorOptions } from "../supervisor/options.ts";

/** The request that a command line makes. */
export type CommandRequest =
  | { readonly what: "help" }
  | { readonly what: "run"; readonly options: SupervisorOptions };

/** The longest time in seconds that a timer can wait. */
const MAX_SECONDS = Math.floor(MAX_TIMER / 1_000);

/**
 * Parses the arguments of the command.
 *
 * @throws {TypeError} If an argument is unknown, or has no valid value.
 */
export function parseArguments(args: readonly string[]): CommandRequest {
  const end = args.indexOf("--");
  const [own, command] = end < 0 ? [args, []] : [args.slice(0, end), args.slice(end + 1)];
  const [name, ...rest] = own;
  if (name === "--help" || name === "-h" || rest.includes("--help")) return { what: "help" };
  if (name !== "run") {
    const problem = name === undefined
      ? "the command is missing"
      : `"${printable(name)}" is not a command`;
    throw new TypeError(
      `Cannot run graceful: ${problem}. Its one command is run, as in "${EXAMPLE}"`,
    );
  }
  if (command.length === 0) {
    throw new TypeError(
      `Cannot run without a command: put '--' before the command of the service, as in "${EXAMPLE}"`,
    );
  }
  return { what: "run", options: runOptions(rest, command) };
}

const EXAMPLE = "graceful run --listen 9527 -- node main.ts";

const as = (name: string) => `run as '--${name}'`;

function runOptions(args: readonly string[], command: readonly string[]): SupervisorOptions {
  const values = valuesOf(args);
  for (const text of values.listen ?? []) parseAddress(as("listen"), text);
  if (values.health !== undefined) parseAddress(as("health"), values.health);
  if (values["pid-file"] === "") refuse(as("pid-file"), "the path of a file", "");
  return {
    command,
    listen: values.listen,
    reuseport: values.reuseport,
    workers: workersOf(values.workers),
    pidFile: values["pid-file"],
    readyTimeout: millisecondsOf("ready-timeout", values["ready-timeout"], 0.001),
    minUptime: millisecondsOf("min-uptime", values["min-uptime"], 0),
    health: values.health,
    prefix: values.prefix,
  };
}

const OPTIONS = {
  "listen": { type: "string", multiple: true },
  "reuseport": { type: "boolean" },
  "workers": { type: "string" },
  "pid-file": { type: "string" },
  "ready-timeout": { type: "string" },
  "min-uptime": { type: "string" },
  "health": { type: "string" },
  "prefix": { type: "boolean" },
} as const;

function valuesOf(args: readonly string[]) {
  for (const argument of args) {
    const [, name] = /^--([^=]+)/.exec(argument) ?? [];
    if (name === undefined || Object.hasOwn(OPTIONS, name)) continue;
    const advice = suggestion(name, Object.keys(OPTIONS), (known) => `'--${known}'`);
    throw new TypeError(`Cannot run as '--${printable(name)}' is not an option: ${advice}`);
  }
  try {
    return nodeUtil().parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    const [reason = ""] = String(error instanceof Error ? error.message : error).split("\n");
    throw new TypeError(`Cannot run: ${printable(reason)}`);
  }
}

function workersOf(text: string | undefined): number | "auto" | undefined {
  if (text === undefined || text === "auto") return text;
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(count >= 1 && count <= MAX_WORKERS)) {
    refuse(as("workers"), `auto or an integer from 1 to ${MAX_WORKERS}`, text);
  }
  return count;
}

function millisecondsOf(
  name: string,
  text: string | undefined,
  min: number,
): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (!(seconds >= min && seconds <= MAX_SECONDS)) {
    refuse(as(name), `a number of seconds from ${min} to ${MAX_SECONDS}`, text);
  }
  return seconds * 1_000;
}
