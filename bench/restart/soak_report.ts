import { versionOf } from "../../support/runtimes.ts";
import { table } from "../table.ts";
import type { SoakResult, Times } from "./soak.ts";

const COLUMNS = [
  "runtime, handoff, engine",
  "restarts",
  "requests",
  "failed",
  "steady/s",
  "restarting/s",
  "worst 250 ms",
  "first answer, ms",
  "old gone, ms",
  "slowest, ms",
];

/** Prints what was measured: a table, and below it what went wrong. Times: the median and the longest. */
export function printReport(results: readonly SoakResult[]): void {
  console.log(table([COLUMNS, ...results.map(rowOf)]));
  for (const result of results) printFailures(result);
}

function rowOf(result: SoakResult): string[] {
  return [
    [versionOf(result.runtime), result.handoff, result.engine].join(", "),
    `${result.restarts}`,
    `${result.requests}`,
    `${result.failed}`,
    result.steadyRate.toFixed(0),
    result.rate.toFixed(0),
    `${(result.lowest * 100).toFixed(0)} %`,
    show(result.firstAnswer),
    show(result.gone),
    result.slowest.toFixed(0),
  ];
}

function show({ median, max }: Times): string {
  return `${median.toFixed(0)} (${max.toFixed(0)})`;
}

function printFailures(
  { runtime, failed, failures, messages, unclean }: SoakResult,
): void {
  if (failed > 0) {
    const kinds = Object.entries(failures).map(([kind, count]) => `${kind} ${count}`);
    console.log(`\n${runtime}: ${kinds.join(", ")}; the first ones:`);
    for (const message of messages) console.log(`  ${message}`);
  }
  for (const { pid, code } of unclean) {
    console.log(
      `\n${runtime}: process ${pid} has ended with exit code ${code ?? "none"}`,
    );
  }
}
