import { loadavg } from "node:os";
import { versionOf } from "../../support/runtimes.ts";
import { median } from "../stats.ts";
import { table } from "../table.ts";
import { BIN, type DipResult, type EventBody, type Kind, KINDS, WINDOW } from "./dip.ts";
import { shortfall } from "./shortfall.ts";

const COLUMNS = [
  "runtime, handoff, load: what happens",
  "times",
  "ready",
  "first answer",
  "old gone",
  "low, raw",
  "low",
  "longest low",
  "typical low",
  "silent",
  "missing",
  "slowest answer",
];

const NAMES: Readonly<Record<Kind, string>> = {
  nothing: "nothing",
  start: "a start alone",
  restart: "a restart",
};

/** Prints what was measured, in ms: the median and the longest. */
export function printReport(results: readonly DipResult[]): void {
  console.log(table([COLUMNS, ...results.flatMap(rowsOf)]));
  console.log(
    `\nIn ms: the median (the longest). Low: bins of ${BIN} ms with less than 80 % of the usual ` +
      `answers, within ${WINDOW} ms; all but the raw ones by a moving median. Typical: of the window ` +
      "whose bins are the medians of all windows. Silent: without an answer. Missing: the time " +
      "that the missing answers usually take.",
  );
  for (const result of results) printSummary(result);
  console.log(
    `Load average: ${loadavg().map((load) => load.toFixed(1)).join(", ")}`,
  );
}

function rowsOf(result: DipResult): string[][] {
  return KINDS.map((kind) => rowOf(kind, result));
}

function rowOf(
  kind: Kind,
  { options, usual, happenings }: DipResult,
): string[] {
  const { runtime, handoff, amount } = options;
  const those = happenings.filter((happening) => happening.kind === kind);
  const falls = those.map(({ bins }) => shortfall(bins, usual, BIN));
  return [
    `${versionOf(runtime)}, ${handoff}, ${amount}: ${NAMES[kind]}`,
    `${those.length}`,
    ...(["ready", "firstAnswer", "gone"] as const).map((time) => show(timesOf(those, time))),
    ...(["raw", "low", "longest"] as const).map((time) => show(falls.map((fall) => fall[time]))),
    `${shortfall(typical(those), usual, BIN).low}`,
    ...(["silent", "missing"] as const).map((time) => show(falls.map((fall) => fall[time]))),
    show(those.map(({ slowest }) => slowest)),
  ];
}

/** What chance does to one of them is not in this: each bin is the median of them all. */
function typical(those: readonly EventBody[]): number[] {
  return Array.from(
    { length: WINDOW / BIN },
    (_, i) => median(those.map(({ bins }) => bins[i]!)),
  );
}

function timesOf(
  those: readonly EventBody[],
  time: "ready" | "firstAnswer" | "gone",
): number[] {
  return those.map((happening) => happening[time]);
}

function show(times: readonly number[]): string {
  if (times.some(Number.isNaN)) return "";
  return `${median(times).toFixed(0)} (${Math.max(...times).toFixed(0)})`;
}

function printSummary(
  { options, usual, requests, failed, messages }: DipResult,
): void {
  const { runtime, amount } = options;
  const rate = (usual * 1_000 / BIN).toFixed(0);
  console.log(
    `${runtime}, ${amount}: usually ${rate}/s; ${failed} of ${requests} failed`,
  );
  for (const message of messages) console.log(`  ${message}`);
}
