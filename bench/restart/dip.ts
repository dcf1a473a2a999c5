/**
 * Measures for how long the throughput of a service dips when it is restarted, and beside that what
 * the start of a process alone does to it: the same program, started beside the service on another
 * port. Both happen in turn, and between them nothing does, so that what else the machine is busy
 * with disturbs all three alike.
 *
 * `node bench/restart/dip.ts --runtime bun --handoff inherit --restarts 10`
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Runtime, RUNTIMES } from "../../support/runtimes.ts";
import { median } from "../stats.ts";
import { Connection } from "./connection.ts";
import { printReport } from "./dip_report.ts";
import { Load, type LoadOptions } from "./load.ts";
import { RestartableService } from "./restartable.ts";
import { freePort } from "../../support/ports.ts";
import { asCount, asRuntime } from "./runtimes.ts";
import type { Tally } from "./tally.ts";
import { until } from "../../support/until.ts";
import { type Handoff, handOff, type Way } from "./ways.ts";

/**
 * `"full"`: as much as the machine can take, as in the soak. `"half"`: clients at a fixed pace, of
 * about half as many requests.
 */
export type Amount = "full" | "half";

/** Options of {@linkcode measureDips}. */
export interface DipOptions {
  readonly runtime: Runtime;
  readonly handoff: Handoff;
  readonly amount: Amount;
  readonly restarts: number;
  /** How many clients open a connection for every request. */
  readonly fresh: number;
  /** How many clients keep their connections alive. */
  readonly kept: number;
}

/** What happens to the service, in turn. */
export const KINDS = ["nothing", "start", "restart"] as const;
export type Kind = (typeof KINDS)[number];

/** Something that happened to the service, and the answers within {@linkcode WINDOW}. */
export interface EventBody {
  readonly kind: Kind;
  /** When it was, in ms since 1970. */
  readonly at: number;
  /** How many milliseconds later the new process told that it serves: NaN if there is none. */
  readonly ready: number;
  /** How many milliseconds later it gave its first answer. */
  readonly firstAnswer: number;
  /** How many milliseconds later the old process was gone. */
  readonly gone: number;
  /** What each bin holds, the first one with the moment of the happening itself in it. */
  readonly bins: readonly number[];
  /** How long the slowest answer within the window has taken, in ms. */
  readonly slowest: number;
}

/** What one run has measured. */
export interface DipResult {
  readonly options: DipOptions;
  /** What a bin usually holds: the median of those while nothing happens. */
  readonly usual: number;
  readonly happenings: readonly EventBody[];
  readonly requests: number;
  readonly failed: number;
  /** The messages of the first failures. */
  readonly messages: readonly string[];
}

/** How long a bin is, in ms. */
export const BIN = 50;

/** How long after a happening it is looked at, in ms. */
export const WINDOW = 5_000;

/** How long it goes on before it is measured, in ms. */
const WARM_UP = 2_000;

/**
 * Before the next one the answers of so many milliseconds are to be nearly as many as usual again, for
 * which it waits so long at most: a machine that has become busy with something else is no reason to
 * give up.
 */
const STEADY = 250;
const STEADY_LEVEL = 0.9;
const PATIENCE = 3_000;

/** How long one happening may take, in ms, before all is given up. */
const LONGEST = 60_000;

/** What one happening is before its answers are counted: times of `performance.now()`. */
interface Moments {
  readonly kind: Kind;
  readonly start: number;
  readonly ready?: number;
  readonly firstAnswer?: number;
  readonly gone?: number;
}

/** Restarts a service under load. Rejects if a restart fails, or if something is left behind. */
export async function measureDips(options: DipOptions): Promise<DipResult> {
  const { runtime, handoff, restarts } = options;
  const maxTime = (restarts + 2) * LONGEST;
  const way = handOff(runtime, handoff, "auto");
  const service = await RestartableService.start(way, maxTime);
  // Not `await using`, which Node 22 does not know.
  try {
    const load = await loadOf(service, options, maxTime);
    const moments: Moments[] = [];
    try {
      await wait(WARM_UP);
      for (let i = 0; i < restarts; i++) {
        for (const kind of KINDS) {
          // A start takes much the same time each time: every other time is enough.
          if (kind === "start" && i % 2 === 1) continue;
          const moment = await happen(kind, service, way, load.tally);
          moments.push(moment);
          await wait(
            Math.max(moment.start + WINDOW + BIN - performance.now(), 0),
          );
          await steady(load.tally, moments);
        }
      }
    } finally {
      await load.stop();
    }
    await service.stop();
    return resultOf(options, load.tally, moments);
  } finally {
    await service[Symbol.asyncDispose]();
  }
}

/** The clients, at work. */
async function loadOf(
  { port }: RestartableService,
  { amount, fresh, kept }: DipOptions,
  maxTime: number,
): Promise<Load> {
  const full: LoadOptions = { port, fresh, kept, maxTime, bin: BIN };
  if (amount === "full") return new Load(full);
  const trial = new Load(full);
  await wait(2 * WARM_UP);
  await trial.stop();
  const { start, end } = trial.tally;
  const most = median(trial.tally.answeredBetween(start + WARM_UP, end)) / BIN;
  return new Load({
    ...full,
    keptPause: 0,
    interval: (fresh + kept) / (most / 2),
  });
}

async function happen(
  kind: Kind,
  service: RestartableService,
  way: Way,
  tally: Tally,
): Promise<Moments> {
  if (kind === "nothing") return { kind, start: performance.now() };
  return kind === "start" ? await startAlone(service, way) : await restart(service, tally);
}

/** Starts the program once more on another port, and ends it after its first answer. */
async function startAlone(
  { processes }: RestartableService,
  way: Way,
): Promise<Moments> {
  const port = await freePort();
  const start = performance.now();
  const pid = await processes.start(way.command(port));
  const connection = new Connection(port);
  await connection.ask("/alone");
  const firstAnswer = performance.now();
  connection.close();
  processes.signal(pid, "SIGTERM");
  await processes.gone(pid);
  const gone = performance.now();
  return {
    kind: "start",
    start,
    ready: processes.readyTimes.get(pid),
    firstAnswer,
    gone,
  };
}

async function restart(
  service: RestartableService,
  tally: Tally,
): Promise<Moments> {
  const { start, end, successor } = await service.restart();
  const what = () => `process ${successor} has not answered\n${tally.messages.join("\n")}`;
  const firstAnswer = await until(
    what,
    () => tally.firstAnswers.get(successor),
  );
  const ready = service.processes.readyTimes.get(successor);
  return { kind: "restart", start, ready, firstAnswer, gone: end };
}

/** Resolves when there are as many answers as usual, or have not been for too long. */
async function steady(
  tally: Tally,
  moments: readonly Moments[],
): Promise<void> {
  const usual = usualOf(tally, moments);
  const end = performance.now() + PATIENCE;
  for (let now = performance.now(); now < end; now = performance.now()) {
    const bins = tally.answeredBetween(now - STEADY - BIN, now);
    if (median(bins) >= usual * STEADY_LEVEL) return;
    await wait(BIN);
  }
}

/** What a bin holds while nothing happens. */
function usualOf(tally: Tally, moments: readonly Moments[]): number {
  const idle = moments.filter(({ kind }) => kind === "nothing");
  return median(idle.flatMap(({ start }) => binsFrom(start, tally)));
}

/** The bins of a window, from the one that the moment is in. */
function binsFrom(moment: number, tally: Tally): number[] {
  return tally.answeredBetween(moment - BIN, moment + WINDOW).slice(
    0,
    WINDOW / BIN,
  );
}

function resultOf(
  options: DipOptions,
  tally: Tally,
  moments: readonly Moments[],
): DipResult {
  const { requests, failed, messages } = tally;
  const happenings = moments.map((
    { kind, start, ready, firstAnswer, gone },
  ) => ({
    kind,
    at: performance.timeOrigin + start,
    ready: (ready ?? NaN) - start,
    firstAnswer: (firstAnswer ?? NaN) - start,
    gone: (gone ?? NaN) - start,
    bins: binsFrom(start, tally),
    slowest: tally.slowestBetween(start - BIN, start + WINDOW),
  }));
  return {
    options,
    usual: usualOf(tally, moments),
    happenings,
    requests,
    failed,
    messages,
  };
}

function asAmount(name: string): Amount {
  if (name === "full" || name === "half") return name;
  throw new RangeError(
    `Cannot measure as '--load' must be full or half: it is ${name}`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [...RUNTIMES] },
      handoff: { type: "string", default: "inherit" },
      load: { type: "string", multiple: true, default: ["full", "half"] },
      restarts: { type: "string", default: "10" },
      new: { type: "string", default: "32" },
      kept: { type: "string", default: "16" },
      json: { type: "string" },
    },
  });
  const results: DipResult[] = [];
  for (const runtime of values.runtime.map(asRuntime)) {
    for (const amount of values.load.map(asAmount)) {
      results.push(
        await measureDips({
          runtime,
          // The cast: serve() refuses what is none.
          handoff: values.handoff as Handoff,
          amount,
          restarts: asCount("--restarts", values.restarts, 1),
          fresh: asCount("--new", values.new, 0),
          kept: asCount("--kept", values.kept, 0),
        }),
      );
    }
  }
  printReport(results);
  if (values.json !== undefined) {
    writeFileSync(values.json, JSON.stringify(results, null, 2) + "\n");
  }
  if (results.some(({ failed }) => failed > 0)) process.exitCode = 1;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // Leaving takes the services along.
    process.once(signal, () => process.exit(1));
  }
  await main();
}
