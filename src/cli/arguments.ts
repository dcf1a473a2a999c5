import { nodeUtil } from "../core/builtins.ts";
import { printable } from "../core/printable.ts";
import { MAX_TIMER, refuse } from "../options/checks.ts";
import { parseAddress } from "../supervisor/listen_address.ts";
import { MAX_WORKERS, type SupervisorOptions } from "../supervisor/options.ts";

/** What the command line asks for. */
export type CommandRequest =
  | { readonly what: "help" }
  | { readonly what: "run"; readonly options: SupervisorOptions };

/** The longest time in seconds that a timer can wait. */
const MAX_SECONDS = Math.floor(MAX_TIMER / 1_000);

/**
 * Returns what the arguments of the command ask for.
 *
 * @throws {TypeError} If an argument is unknown, or has no valid value.
 */
export function parseArguments(args: readonly string[]): CommandRequest {
  const end = args.indexOf("--");
  const [own, command] = end < 0 ? [args, []] : [args.slice(0, end), args.slice(end + 1)];
  const [name, ...rest] = own;
  if (name === "--help" || name === "-h" || rest.includes("--help")) return { what: "help" };
  if (name !== "run") refuse("read the command as its name", "run", name);
  return { what: "run", options: runOptions(rest, end < 0, command) };
}

const as = (name: string) => `run as '--${name}'`;

function runOptions(
  args: readonly string[],
  hasNoCommand: boolean,
  command: readonly string[],
): SupervisorOptions {
  const values = valuesOf(args);
  if (hasNoCommand || command.length === 0) {
    refuse("run as COMMAND", "given after '--'", command.join(" "));
  }
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

function valuesOf(args: readonly string[]) {
  try {
    return nodeUtil().parseArgs({
      args: [...args],
      options: {
        "listen": { type: "string", multiple: true },
        "reuseport": { type: "boolean" },
        "workers": { type: "string" },
        "pid-file": { type: "string" },
        "ready-timeout": { type: "string" },
        "min-uptime": { type: "string" },
        "health": { type: "string" },
        "prefix": { type: "boolean" },
      },
    }).values;
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
