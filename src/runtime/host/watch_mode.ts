import process from "node:process";

/**
 * Calls a function when nothing is left to do, if the runtime keeps the process alive all the same: `bun
 * --watch` and `bun --hot` wait for files to change, and unref'd timers do not fire meanwhile.
 */
export function onIdleInWatchMode(run: () => void): void {
  const isWatching = "bun" in process.versions &&
    process.execArgv.some((arg) => arg === "--watch" || arg === "--hot");
  if (isWatching) process.once("beforeExit", run);
}
