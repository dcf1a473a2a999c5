import process from "node:process";
import { activeResources } from "../runtime/host/active_resources.ts";
import { onIdleInWatchMode } from "../runtime/host/watch_mode.ts";
import { areAllDone } from "./end_of_process.ts";
import type { EventSink } from "./events.ts";

/** Sets the exit code of the process, unless the code already says that something has failed. */
export function setExitCode(exitCode: number): void {
  if (!process.exitCode) process.exitCode = exitCode;
}

/**
 * Ends the process after a number of milliseconds, unless it has ended by itself by then, or another call of
 * `graceful` still runs.
 */
export function exitAfter(ms: number, events: EventSink): void {
  const timer = setTimeout(() => {
    if (!areAllDone()) return;
    const exitCode = exitCodeSoFar();
    events.emit({ type: "kept-alive", by: activeResources(), exitCode });
    process.exit(exitCode);
  }, ms);
  timer.unref();
  onIdleInWatchMode(() => {
    if (areAllDone()) process.exit(exitCodeSoFar());
  });
}

function exitCodeSoFar(): number {
  return Number(process.exitCode ?? 0);
}
