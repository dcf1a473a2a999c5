import process from "node:process";
import { procFile } from "./proc_files.ts";

/**
 * The supervisors that take the end of the process that they have started for the end of the service, by
 * their names in `/proc`.
 */
const KEEPERS: readonly string[] = [
  "catatonit",
  "docker-init",
  "dumb-init",
  "pm2",
  "runsv",
  "s6-supervise",
  "supervise",
  "supervisord",
  "tini",
];

/** The programs that end with what they have started, by their names in `/proc`, if they are told what to start. */
const SHELLS: readonly string[] = ["ash", "bash", "dash", "ksh", "sh", "zsh"];

/**
 * Returns what would take the end of this process for the end of the service, and so end the successor or
 * start the service a second time. Returns undefined if nothing is known to do so.
 */
export function keeper(): string | undefined {
  if (process.pid === 1) {
    return "this process is process 1 of its container, and the container ends with it";
  }
  const name = procFile(`/proc/${process.ppid}/comm`).trim();
  if (process.ppid === 1 && isWrapper(name)) {
    return `process 1 (${name}) is the parent of this process, and the container may end with it`;
  }
  // pm2 names itself in the title of its process, which the kernel cuts off.
  const known = KEEPERS.find((keeper) =>
    name === keeper || name.toLowerCase().startsWith(`${keeper} `)
  );
  if (known === undefined) return undefined;
  return `process ${process.ppid} (${known}) has started this process and takes its end for the end of the service`;
}

/**
 * Reports whether process 1, with this name, is a shell with a command or a script, or a package manager that runs a
 * script: they end with the service. An interactive shell stays.
 */
function isWrapper(name: string): boolean {
  if (/^(npm|pnpm|yarn)\b/.test(name)) return true;
  const args = procFile("/proc/1/cmdline").split("\0").slice(1, -1);
  return SHELLS.includes(name) && args.some((arg) => /^[^-]|^-[a-z]*c/.test(arg));
}
