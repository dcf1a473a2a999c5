import { setTimeout as wait } from "node:timers/promises";
import { Load } from "./load.ts";
import { RestartableService } from "./restartable.ts";
import { BIN, type Bin } from "./tally.ts";
import type { Way } from "./ways.ts";

/** Options of {@linkcode record}. */
export interface RecordOptions {
  /** How long it goes on, in seconds. */
  readonly seconds: number;
  /** How many seconds there are from one restart to the next. */
  readonly every: number;
  readonly fresh: number;
  readonly kept: number;
  /** How long a client pauses between two requests at most, in ms. */
  readonly pause: number;
}

/** What has happened to a service in the course of time. */
export interface Recording {
  /** What the requests became in each 250 ms. */
  readonly bins: readonly Bin[];
  /** When each restart began, in ms from the first bin on. */
  readonly restarts: readonly number[];
  /** The processes, the oldest first. */
  readonly pids: readonly number[];
  readonly requests: number;
  readonly failed: number;
}

/** Restarts a service again and again under load, and records what becomes of the requests. */
export async function record(
  way: Way,
  options: RecordOptions,
): Promise<Recording> {
  const { seconds, every, fresh, kept, pause } = options;
  await using service = await RestartableService.start(
    way,
    (seconds + 60) * 1_000,
  );
  const pids = [service.newest];
  const restarts: number[] = [];
  const load = new Load({
    port: service.port,
    fresh,
    kept,
    freshPause: pause,
    keptPause: pause,
  });
  const { start } = load.tally;
  const elapsed = () => performance.now() - start;
  try {
    for (let at = every; at < seconds; at += every) {
      await wait(Math.max(at * 1_000 - elapsed(), 0));
      const restart = await service.restart();
      restarts.push(restart.start - start);
      pids.push(restart.successor);
    }
    await wait(Math.max(seconds * 1_000 - elapsed(), 0));
  } finally {
    await load.stop();
  }
  await service.stop();
  const { bins, requests, failed } = load.tally;
  // The last answers come after the end: their bin is none of 250 ms.
  return {
    bins: bins.slice(0, seconds * 1_000 / BIN),
    restarts,
    pids,
    requests,
    failed,
  };
}
