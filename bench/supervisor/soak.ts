/**
 * Puts a service under `graceful run` under load: how the requests are distributed among the workers, what a killed
 * worker loses, and what rolling restarts lose.
 *
 * `node bench/supervisor/soak.ts --supervisor deno --worker bun --workers 4 --restarts 20`
 */
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Runtime, RUNTIMES } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import { Load } from "../restart/load.ts";
import { asCount, asRuntime } from "../restart/runtimes.ts";
import type { Tally } from "../restart/tally.ts";
import { table } from "../table.ts";
import { SupervisedService } from "./supervised.ts";

/** Options of {@linkcode soakSupervised}. */
export interface SoakOptions {
  readonly supervisor: Runtime;
  readonly worker: Runtime;
  readonly workers: number;
  readonly restarts: number;
  /** Whether each worker has a listening socket of its own. */
  readonly reuseport: boolean;
  /** How many clients open a connection for every request. */
  readonly fresh: number;
  /** How many clients keep their connections alive. */
  readonly kept: number;
  /** How long workers that drain keep idle connections, in ms. */
  readonly idleGrace?: number;
  /** How long the distribution is measured, in ms. */
  readonly steady: number;
}

/** What became of the requests. */
export interface SoakResult extends SoakOptions {
  readonly requests: number;
  /** The requests that failed in the restarts: there should be none. */
  readonly failed: number;
  readonly messages: readonly string[];
  /** The requests that failed when a worker was killed, and the connections that the worker had then. */
  readonly killed: number;
  readonly held: number;
  /** Jain's index of the requests per worker, without restarts: 1 if all have answered as many. */
  readonly fairness: number;
  /** Answers a second without restarts. */
  readonly rate: number;
  readonly slowest: number;
  readonly exitCodes: readonly number[];
}

/** How long workers that drain keep idle connections by default, in ms. */
const IDLE_GRACE = 1_000;
/** How long it goes on before it is measured, in ms. */
const WARM_UP = 500;
/** How long a restart may take, in ms. */
const LONGEST = 30_000;

/** Runs a service under load through restarts. Rejects if something is left behind. */
export async function soakSupervised(options: SoakOptions): Promise<SoakResult> {
  const { supervisor, worker, workers, restarts, reuseport, fresh, kept, steady } = options;
  const maxTime = WARM_UP + steady + (restarts + 2) * LONGEST;
  const service = await SupervisedService.start(supervisor, worker, workers, maxTime, {
    reuseport,
    idleGrace: options.idleGrace ?? IDLE_GRACE,
  });
  try {
    const load = new Load({ port: service.port, fresh, kept, maxTime, bin: 50 });
    const { tally } = load;
    await wait(WARM_UP);
    const first = service.workers;
    const before = countsOf(tally);
    const start = performance.now();
    await wait(steady);
    const rate = (sum(countsOf(tally)) - sum(before)) / (performance.now() - start) * 1_000;
    const counts = first.map((pid) => (countsOf(tally).get(pid) ?? 0) - (before.get(pid) ?? 0));
    for (let i = 0; i < restarts; i++) {
      await service.restart();
      await answersOf(tally, service.workers);
    }
    const { failed } = tally;
    const { next, held } = await service.kill(service.workers[0]!);
    await answersOf(tally, [next]);
    await load.stop();
    await service.stop();
    return {
      ...options,
      requests: tally.requests,
      failed,
      killed: tally.failed - failed,
      held,
      messages: tally.messages,
      fairness: jain(counts),
      rate,
      slowest: tally.slowest,
      exitCodes: service.exitCodes,
    };
  } finally {
    await service[Symbol.asyncDispose]();
  }
}

/** Resolves when each of the workers has answered: one that has not would prove nothing. */
async function answersOf(tally: Tally, workers: readonly number[]): Promise<void> {
  for (const pid of workers) {
    await until(
      () => `process ${pid} has not answered\n${tally.messages.join("\n")}`,
      () => tally.firstAnswers.get(pid),
    );
  }
}

/** How many requests each process has answered. */
function countsOf({ bins }: Tally): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { answered } of bins) {
    for (const [pid, count] of answered) counts.set(pid, (counts.get(pid) ?? 0) + count);
  }
  return counts;
}

function sum(counts: ReadonlyMap<number, number>): number {
  return [...counts.values()].reduce((a, b) => a + b, 0);
}

/** Jain's index of fairness: 1 if all are the same, and 1/n if one has everything. */
function jain(counts: readonly number[]): number {
  const sum = counts.reduce((a, b) => a + b, 0);
  const squares = counts.reduce((a, b) => a + b * b, 0);
  return sum * sum / (counts.length * squares);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      supervisor: { type: "string", multiple: true, default: [...RUNTIMES] },
      worker: { type: "string", multiple: true, default: [...RUNTIMES] },
      workers: { type: "string", default: "4" },
      restarts: { type: "string", default: "10" },
      reuseport: { type: "boolean", default: false },
      new: { type: "string", default: "48" },
      kept: { type: "string", default: "16" },
      steady: { type: "string", default: "3000" },
    },
  });
  const results: SoakResult[] = [];
  for (const supervisor of values.supervisor.map(asRuntime)) {
    for (const worker of values.worker.map(asRuntime)) {
      results.push(
        await soakSupervised({
          supervisor,
          worker,
          workers: asCount("--workers", values.workers, 1),
          restarts: asCount("--restarts", values.restarts, 0),
          reuseport: values.reuseport,
          fresh: asCount("--new", values.new, 0),
          kept: asCount("--kept", values.kept, 0),
          steady: asCount("--steady", values.steady, 100),
        }),
      );
    }
  }
  const columns = [
    "supervisor, workers",
    "restarts",
    "requests",
    "failed",
    "failed by a kill",
    "Jain's index",
    "steady/s",
    "slowest, ms",
  ];
  console.log(table([columns, ...results.map(rowOf)]));
  for (const { failed, messages } of results) if (failed > 0) console.log(messages.join("\n"));
  if (results.some(({ failed, exitCodes }) => failed > 0 || exitCodes.some((code) => code !== 0))) {
    process.exitCode = 1;
  }
}

function rowOf(result: SoakResult): string[] {
  return [
    `${result.supervisor}, ${result.workers} of ${result.worker}`,
    `${result.restarts}`,
    `${result.requests}`,
    `${result.failed}`,
    `${result.killed} of ${result.held} held`,
    result.fairness.toFixed(3),
    result.rate.toFixed(0),
    result.slowest.toFixed(0),
  ];
}

if (import.meta.main) await main();
