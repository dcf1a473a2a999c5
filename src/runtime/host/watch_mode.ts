import process from "node:process";

/**
 * Has a function called when nothing is left to do, if the runtime goes on by itself then. `bun --watch`
 * and `bun --hot` wait for files to change, and meanwhile no timer fires that is unref'd.
 */
export function onIdleInWatchMode(run: () => void): void {
  const isWatching = "bun" in process.versions &&
    process.execArgv.some((arg) => arg === "--watch" || arg === "--hot");
  if (isWatching) process.once("beforeExit", run);
}
