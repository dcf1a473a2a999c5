import process from "node:process";
import { procFile } from "./proc_files.ts";

/**
 * Returns the environment variables with which this process was started, or the current variables if the system does
 * not report the former. Variables that the runtime or the program has added, for example from a file `.env`, are
 * left out, because a new process reads them again.
 */
export function startEnvironment(): NodeJS.ProcessEnv {
  const entries = procFile("/proc/self/environ").split("\0").filter((entry) => entry.includes("="));
  if (entries.length === 0) return { ...process.env };
  return Object.fromEntries(entries.map((entry) => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)];
  }));
}
