/**
 * Restarts a service under load, many times, and counts what was lost.
 *
 * `node bench/restart/soak.ts --runtime bun --handoff inherit --restarts 100`
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Engine } from "../../mod.ts";
import { type Runtime, RUNTIMES } from "../../support/runtimes.ts";
import { median } from "../stats.ts";
import { Load } from "./load.ts";
import { type Restart, RestartableService } from "./restartable.ts";
import { asCount, asRuntime } from "./runtimes.ts";
import { printReport } from "./soak_report.ts";
import { BIN, type FailureKind, type Tally } from "./tally.ts";
import { until } from "../../support/until.ts";
import { type Handoff, handOff } from "./ways.ts";

/** Options of {@linkcode soak}. */
export interface SoakOptions {
  readonly runtime: Runtime;
  /** @default {"auto"} */
  readonly handoff?: Handoff;
  /** @default {"auto"} */
  readonly engine?: "auto" | Engine;
  /** @default {100} */
  readonly restarts?: number;
  /**
   * How many clients open a connection for every request.
   *
   * @default {32}
   */
  readonly fresh?: number;
  /**
   * How many clients keep their connections alive.
   *
   * @default {16}
   */
  readonly kept?: number;
  /**
   * How long it goes on before it is measured, in ms.
   *
   * @default {1000}
   */
  readonly warmUp?: number;
  /**
   * How long it is then measured without a restart, in ms.
   *
   * @default {3000}
   */
  readonly steady?: number;
}

/** What became of the requests during the restarts, and how long the restarts took. */
export interface SoakResult {
  readonly runtime: Runtime;
  readonly handoff: Handoff;
  readonly engine: "auto" | Engine;
  readonly restarts: number;
  readonly requests: number;
  readonly failed: number;
  readonly failures: Readonly<Partial<Record<FailureKind, number>>>;
  /** The messages of the first failures. */
  readonly messages: readonly string[];
  /** The processes that ended with another exit code than 0, and that code. */
  readonly unclean: readonly {
    readonly pid: number;
    readonly code: number | undefined;
  }[];
  /** Answers a second while nothing is restarted, and from the first restart to the last. */
  readonly steadyRate: number;
  readonly rate: number;
  /** The answers within the worst 250 ms of the restarts, beside those of the median steady ones. */
  readonly lowest: number;
  /** From the signal to the first answer of the new process, in ms. */
  readonly firstAnswer: Times;
  /** From the signal until the old process is gone, in ms. */
  readonly gone: Times;
  /** The longest time from a request to the end of its response, in ms. */
  readonly slowest: number;
}

/** A time that was measured more than once. */
export interface Times {
  readonly median: number;
  readonly max: number;
}

const DEFAULTS = {
  handoff: "auto",
  engine: "auto",
  restarts: 100,
  fresh: 32,
  kept: 16,
  warmUp: 1_000,
  steady: 3_000,
} as const;

/** How long it goes on after the last restart, in ms. */
const SETTLE = 500;

/** How long a restart may take, in ms, before all is given up. */
const LONGEST = 30_000;

/** Restarts a service under load. Rejects if a restart fails, or if something is left behind. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const settings = { ...DEFAULTS, ...options };
  const { runtime, handoff, engine, restarts, warmUp, steady } = settings;
  const maxTime = warmUp + steady + (restarts + 2) * LONGEST;
  const service = await RestartableService.start(
    handOff(runtime, handoff, engine),
    maxTime,
  );
  // Not `await using`, which Node 22 does not know.
  try {
    return await soakService(service, settings, maxTime);
  } finally {
    await service[Symbol.asyncDispose]();
  }
}

async function soakService(
  service: RestartableService,
  { runtime, handoff, engine, restarts, fresh, kept, warmUp, steady }: Required<
    SoakOptions
  >,
  maxTime: number,
): Promise<SoakResult> {
  const load = new Load({ port: service.port, fresh, kept, maxTime });
  const done: Restart[] = [];
  try {
    await wait(warmUp + steady);
    while (done.length < restarts) {
      done.push(await restartOnce(service, load.tally));
    }
    await wait(SETTLE);
  } finally {
    await load.stop();
  }
  await service.stop();
  return {
    runtime,
    handoff,
    engine,
    restarts: done.length,
    unclean: uncleanOf(service, done),
    ...countsOf(load.tally),
    ...ratesOf(load.tally, warmUp, done[0]!.start),
    ...timesOf(load.tally, done),
  };
}

/** A process that has not answered anything is not replaced again: that would prove nothing. */
async function restartOnce(
  service: RestartableService,
  tally: Tally,
): Promise<Restart> {
  const restart = await service.restart();
  const { successor } = restart;
  const what = () => `process ${successor} has not answered\n${tally.messages.join("\n")}`;
  await until(what, () => tally.firstAnswers.get(successor));
  return restart;
}

function uncleanOf(
  { processes }: RestartableService,
  done: readonly Restart[],
) {
  const pids = [...done.map(({ old }) => old), done.at(-1)!.successor];
  return pids.map((pid) => ({ pid, code: processes.exitCodes.get(pid) }))
    .filter(({ code }) => code !== 0);
}

function countsOf({ requests, failed, failures, messages, slowest }: Tally) {
  return {
    requests,
    failed,
    failures: Object.fromEntries(failures),
    messages,
    slowest,
  };
}

function ratesOf(tally: Tally, warmUp: number, firstRestart: number) {
  const steady = tally.answeredBetween(tally.start + warmUp, firstRestart);
  const restarting = tally.answeredBetween(firstRestart, tally.end);
  return {
    steadyRate: median(steady) * 1_000 / BIN,
    rate: restarting.reduce((a, b) => a + b, 0) * 1_000 / BIN /
      restarting.length,
    lowest: Math.min(...restarting) / median(steady),
  };
}

function timesOf({ firstAnswers }: Tally, done: readonly Restart[]) {
  return {
    firstAnswer: times(
      done.map(({ successor, start }) => firstAnswers.get(successor)! - start),
    ),
    gone: times(done.map(({ start, end }) => end - start)),
  };
}

function times(values: readonly number[]): Times {
  return { median: median(values), max: Math.max(...values) };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [...RUNTIMES] },
      handoff: { type: "string", default: "auto" },
      engine: { type: "string", default: "auto" },
      restarts: { type: "string", default: "100" },
      new: { type: "string", default: "32" },
      kept: { type: "string", default: "16" },
      json: { type: "string" },
    },
  });
  const results: SoakResult[] = [];
  for (const runtime of values.runtime.map(asRuntime)) {
    results.push(
      await soak({
        runtime,
        // The casts: serve() refuses what is none.
        handoff: values.handoff as Handoff,
        engine: values.engine as "auto" | Engine,
        restarts: asCount("--restarts", values.restarts, 1),
        fresh: asCount("--new", values.new, 0),
        kept: asCount("--kept", values.kept, 0),
      }),
    );
  }
  printReport(results);
  if (values.json !== undefined) {
    writeFileSync(values.json, JSON.stringify(results, null, 2) + "\n");
  }
  if (results.some(({ failed, unclean }) => failed + unclean.length > 0)) {
    process.exitCode = 1;
  }
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // Leaving takes the services along.
    process.once(signal, () => process.exit(1));
  }
  await main();
}
