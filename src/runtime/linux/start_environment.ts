import process from "node:process";
import { procFile } from "./proc_files.ts";

/**
 * Returns the environment variables that this process was started with, as far as the system tells, and otherwise the
 * present ones. What the runtime or the program has added since, for example from a file `.env`, is read again by a
 * new process.
 */
export function startEnvironment(): NodeJS.ProcessEnv {
  const entries = procFile("/proc/self/environ").split("\0").filter((entry) => entry.includes("="));
  if (entries.length === 0) return { ...process.env };
  return Object.fromEntries(entries.map((entry) => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)];
  }));
}
