import type { Rolled } from "../../support/rolling/roll.ts";
import { RUNTIMES } from "../../support/runtimes.ts";
import { table } from "../table.ts";

/**
 * Prints what became of the requests, one row a way: how many have failed, in all and by kind (for
 * each that there was), and how many in a restart, of any process and of each runtime's.
 */
export function printReport(
  results: readonly (readonly [way: string, Rolled])[],
): void {
  const kinds = [
    ...new Set(
      results.flatMap(([, { failed }]) => failed.map(({ kind }) => kind)),
    ),
  ];
  kinds.sort();
  const columns = [
    "way",
    "restarts",
    "requests",
    "failed",
    ...kinds,
    "a restart",
    ...RUNTIMES,
    "s a restart",
  ];
  console.log(
    table([
      columns,
      ...results.map(([way, rolled]) => rowOf(way, rolled, kinds)),
    ]),
  );
}

function rowOf(
  way: string,
  rolled: Rolled,
  kinds: readonly string[],
): string[] {
  const { answered, failed, restarts } = rolled;
  const seconds = restarts.reduce((sum, { start, end }) => sum + end - start, 0) / 1_000;
  return [
    way,
    `${restarts.length}`,
    `${answered.length + failed.length}`,
    `${failed.length}`,
    ...kinds.map((kind) => `${failed.filter((one) => one.kind === kind).length}`),
    (failed.length / restarts.length).toFixed(1),
    ...RUNTIMES.map((runtime) => failedDuring(rolled, runtime).toFixed(1)),
    (seconds / restarts.length).toFixed(1),
  ];
}

/** How many requests failed in a restart of that runtime's process. */
function failedDuring({ failed, restarts }: Rolled, runtime: string): number {
  const own = restarts.filter((restart) => restart.runtime === runtime);
  const isIn = (time: number) => own.some(({ start, end }) => time >= start && time <= end);
  return failed.filter(({ end }) => isIn(end)).length / own.length;
}
