import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import { checkType, MAX_TIMER } from "../options/checks.ts";
import { reportError } from "../core/report_error.ts";
import { readVariable } from "../runtime/host/variables.ts";
import { notify } from "./notify.ts";

/** The shortest interval in milliseconds: a shorter interval would keep the process busy with nothing else. */
const LEAST_INTERVAL = 20;

/** The number of calls of `watchdog` that feed systemd's watchdog now. */
const newFeeders = () => ({ count: 0 });

/**
 * Feeds systemd's watchdog (`WatchdogSec=` of the unit). `WATCHDOG=1` is sent at once, and then at half of the
 * watchdog's interval, as `sd_watchdog_enabled(3)` advises, until the returned object is disposed of. If the event
 * loop stands still for longer than the interval, systemd ends the process. The timer does not keep the process
 * alive. The permissions are those of {@linkcode notify}.
 *
 * `graceful` feeds the watchdog by itself until the process is gone, unless `watchdog` was called before. Call
 * `watchdog` for a service without `graceful`, or with a `check` of the service's health.
 *
 * Returns undefined if there is no watchdog for this process: `WATCHDOG_USEC` is not set, `WATCHDOG_PID` names
 * another process, or Deno may not read them.
 *
 * @param check Runs before each message. While the check throws, rejects or is not done, no message is sent. The
 * first failure in a row is written to the console.
 * @throws {TypeError} If `check` is not a function.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 * import { watchdog } from "@x/graceful/systemd";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * const feeding = watchdog(() => fetch(server.url));
 * await server.shutdown({ timeout: 15_000 });
 * feeding?.[Symbol.dispose]();
 * ```
 */
export function watchdog(check: () => unknown = () => {}): Disposable | undefined {
  checkType("feed the watchdog as 'check'", check, "function");
  const interval = watchdogInterval();
  if (interval === undefined) return undefined;
  const feed = feeder(check);
  feed();
  const timer = setInterval(feed, interval / 2);
  timer.unref();
  ofProcess(newFeeders).count++;
  let isDisposed = false;
  return {
    [Symbol.dispose]() {
      if (isDisposed) return;
      isDisposed = true;
      clearInterval(timer);
      ofProcess(newFeeders).count--;
    },
  };
}

/**
 * Feeds the watchdog for `graceful`, unless a call of `watchdog` already does. The feeding never stops, because
 * systemd watches the end of the process too.
 */
export function feedWatchdog(): void {
  if (ofProcess(newFeeders).count === 0) watchdog();
}

/** Returns the interval of the watchdog in ms; undefined if the watchdog is not for this process. */
function watchdogInterval(): number | undefined {
  const microseconds = Number(readVariable("WATCHDOG_USEC") ?? 0);
  const pid = readVariable("WATCHDOG_PID");
  const isOurs = pid === undefined || pid === String(process.pid);
  if (!(microseconds > 0 && isOurs)) return undefined;
  return Math.min(Math.max(microseconds / 1_000, LEAST_INTERVAL), MAX_TIMER);
}

/** Returns the function to call at each interval. It runs the check, and skips a call while the check still runs. */
function feeder(check: () => unknown): () => Promise<void> {
  let isBusy = false;
  let hasFailed = false;
  return async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      await check();
      await notify({ WATCHDOG: 1 });
      hasFailed = false;
    } catch (error) {
      if (!hasFailed) reportError(error);
      hasFailed = true;
    } finally {
      isBusy = false;
    }
  };
}
