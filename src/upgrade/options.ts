import { checkMilliseconds, checkObject, checkType } from "../options/checks.ts";
import { checkNames, type OptionNames } from "../options/names.ts";

/** Options of an `Upgrader`. */
export interface UpgraderOptions {
  /**
   * The program and its arguments. The default is the command that this process was started with, including its
   * runtime and the runtime's options. The program must become the service itself: a wrapper that starts the
   * service as its child does not pass the listeners on.
   */
  command?: readonly string[];
  /**
   * The working directory of the new process. The default is the directory in which this process was started, by the
   * path that was used then: if the path leads through a symlink, the new process runs where the link points now.
   */
  cwd?: string;
  /**
   * The environment variables of the new process. The default is the variables with which this process was started,
   * so that the new process reads the current content of files such as `.env`. Where these variables are not known
   * (on systems other than Linux, and on Deno without `--allow-ffi`), the default is the current variables.
   */
  env?: Readonly<Record<string, string>>;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, that the new process may take to become ready before it is killed.
   * The default is that of tableflip.
   *
   * @default {60_000}
   */
  readyTimeout?: number;
  /**
   * The path of a file that holds the id of the process that serves, for programs that send signals to the service. The
   * file is replaced as a whole when this process is ready, and removed when the process stops without a successor.
   */
  pidFile?: string;
}

const NAMES: OptionNames<UpgraderOptions> = {
  command: true,
  cwd: true,
  env: true,
  pidFile: true,
  readyTimeout: true,
};

/** Throws for options of an `Upgrader` that are unknown or invalid. */
export function checkUpgrader(options: UpgraderOptions): void {
  checkNames("upgrade", options, NAMES);
  const { command, cwd, env, pidFile, readyTimeout } = options;
  checkMilliseconds("upgrade as 'readyTimeout'", readyTimeout, 0);
  for (const [name, value] of Object.entries({ cwd, pidFile })) {
    if (value === undefined || (typeof value === "string" && value !== "")) continue;
    throw new TypeError(
      `Cannot upgrade as '${name}' must be a string that is not empty: current value is ${
        shown(value)
      }`,
    );
  }
  if (env !== undefined) {
    checkObject("upgrade as 'env'", env);
    for (const [name, value] of Object.entries(env)) {
      checkType(`upgrade as 'env.${name}'`, value, "string");
    }
  }
  const isCommand = Array.isArray(command) && command.length > 0 &&
    command.every((word) => typeof word === "string");
  if (command === undefined || isCommand) return;
  throw new TypeError(
    `Cannot upgrade as 'command' must be a program and its arguments: current value is ${
      shown(command)
    }`,
  );
}

/** Returns a value as text on one line. */
function shown(value: unknown): string {
  return typeof value === "string" || Array.isArray(value) ? JSON.stringify(value) : String(value);
}
