/** The results as tables. Each table has a title, which says what the columns are. */
import type { Runtime } from "../support/runtimes.ts";
import type { DrainResult } from "./drain.ts";
import type { ImportResult } from "./import_time.ts";
import { type LoadName, LOADS } from "./load.ts";
import type { BusyResult, ScaleResult } from "./scale.ts";
import type { SizeResult } from "./size.ts";
import type { Summary } from "./stats.ts";
import type { SteadyResult } from "./steady.ts";
import { table } from "./table.ts";

/** Steady state: for each load the time, the ratio and its spread. */
export function steadyTable(
  runtime: Runtime,
  results: readonly SteadyResult[],
): string {
  // The cast: the keys are the names.
  const loads = Object.keys(LOADS) as LoadName[];
  const rows = groupBy(results, ({ contestant }) => contestant).map((
    [name, own],
  ) => [
    name,
    ...loads.flatMap((load) => {
      const { cpu, ratio } = own.find((result) => result.load === load)!;
      return [cpu.median.toFixed(1), withSpread(ratio)];
    }),
  ]);
  return titled(
    `${runtime}: server CPU time per request in µs, and its ratio to the bare server ± half of the quartiles' distance`,
    [["", ...loads.flatMap((load) => [LOADS[load].title, "ratio"])], ...rows],
  );
}

/** Drains: how many, and how long they took. */
export function drainTable(
  runtime: Runtime,
  results: readonly DrainResult[],
): string {
  return titled(
    `${runtime}: ms from the end of the only response in flight to the end of the shutdown`,
    [
      ["", "median", "p99", "runs", "over 1 s"],
      ...results.map(({ contestant, median, p99, runs, late }) => [
        contestant,
        orLate(median, 2),
        orLate(p99, 2),
        String(runs),
        String(late),
      ]),
    ],
  );
}

/** Shutdowns with idle connections, a row for each number of connections. */
export function scaleTable(
  runtime: Runtime,
  results: readonly ScaleResult[],
): string {
  const bare = (idle: number) => results.find((result) => result.idle === idle)!;
  return titled(
    `${runtime}: a shutdown with idle connections, and its ratio to the bare server`,
    [
      [
        "",
        "idle",
        "ms",
        "ratio",
        "least to most",
        "CPU ms",
        "stall ms",
        "bytes a connection",
      ],
      ...results.toSorted(byContestant(results)).map((result) => [
        result.contestant,
        String(result.idle),
        orLate(result.time, 0),
        result.time === null ? "" : (result.time / bare(result.idle).time!).toFixed(1),
        range(result.times, 0),
        orLate(result.cpu, 0),
        orLate(result.stall, 0),
        result.memory.toFixed(0),
      ]),
    ],
  );
}

/** Shutdowns with idle connections and requests in flight. */
export function busyTable(
  runtime: Runtime,
  results: readonly BusyResult[],
): string {
  const { idle, inFlight } = results[0]!;
  return titled(
    `${runtime}: ms from the responses to the end of the shutdown, with ${idle} idle connections and ` +
      `${inFlight} requests with 300 ms left`,
    [
      ["", "ms", "least to most"],
      ...results.map(({ contestant, afterResponse, afterResponses }) => [
        contestant,
        orLate(afterResponse, 0),
        range(afterResponses, 0),
      ]),
    ],
  );
}

/** Imports: their time and its spread. The first row is what was there before. */
export function importTable(
  runtime: Runtime,
  results: readonly ImportResult[],
): string {
  return titled(
    `${runtime}: ms that an import adds, ± half of the quartiles' distance`,
    [
      ["", "ms"],
      ...results.map((
        { contestant, time },
      ) => [contestant, withSpread(time, 1)]),
    ],
  );
}

/** Sizes, in KiB. */
export function sizeTable(results: readonly SizeResult[]): string {
  return titled(
    "KiB of a package with its dependencies, bundled and minified",
    [
      ["", "minified", "gzipped"],
      ...results.map(({ contestant, minified, gzipped }) => [
        contestant,
        (minified / 1_024).toFixed(1),
        (gzipped / 1_024).toFixed(1),
      ]),
    ],
  );
}

function titled(title: string, rows: readonly (readonly string[])[]): string {
  return `\n${title}\n\n${table(rows)}`;
}

function withSpread(
  { median, quartiles: [low, high] }: Summary,
  digits = 2,
): string {
  return `${median.toFixed(digits)} ± ${((high - low) / 2).toFixed(digits)}`;
}

/** A time that is null was waited for in vain. */
function orLate(value: number | null, digits: number): string {
  return value === null ? "late" : value.toFixed(digits);
}

function range(
  values: readonly [number, number] | null,
  digits: number,
): string {
  return values === null ? "" : values.map((value) => value.toFixed(digits)).join(" to ");
}

function groupBy<Item>(
  items: readonly Item[],
  key: (item: Item) => string,
): [string, readonly Item[]][] {
  return [...Map.groupBy(items, key)];
}

/** Keeps the rows of a contestant together, in the order in which contestants come first. */
function byContestant(results: readonly ScaleResult[]) {
  const order = [...new Set(results.map(({ contestant }) => contestant))];
  return (a: ScaleResult, b: ScaleResult): number =>
    order.indexOf(a.contestant) - order.indexOf(b.contestant) ||
    a.idle - b.idle;
}
