/** How the process ends when every call of `graceful` is done, if it does not end by itself. */
import process from "node:process";
import { activeResources } from "../runtime/active_resources.ts";
import type { Teller } from "./events.ts";

/** The calls of `graceful` that are not done: the process belongs to all of them. */
let running = 0;
/** The worst exit code of those that ran together. */
let worst = 0;
/** What `process.exitCode` was last set to from here. */
let written: number | undefined;

/** To be called at the start of each call of `graceful`. */
export function enter(): void {
  if (running === 0) worst = 0;
  running++;
}

/** To be called at the end of each. */
export function leave(): void {
  running--;
}

/** Sets the exit code of the process, unless the program has set one of its own. */
export function setExitCode(exitCode: number): void {
  worst = Math.max(worst, exitCode);
  const isTheirs = Boolean(process.exitCode) && process.exitCode !== written;
  if (isTheirs) return;
  written = worst;
  process.exitCode = worst;
}

/** Ends the process, unless it ends by itself before, or another call of `graceful` still runs. */
export function exitAfter(ms: number, teller: Teller): void {
  const timer = setTimeout(() => {
    if (running > 0) return;
    const exitCode = Number(process.exitCode ?? 0);
    teller.tell({ type: "kept-alive", by: activeResources(), exitCode });
    process.exit(exitCode);
  }, ms);
  timer.unref();
}
