/**
 * What `serve` and `adopt` cost beside the bare servers of the runtimes, and beside what a user would pick
 * instead.
 *
 * `npm run bench -- --only node --part steady --rounds 5 --json results.json --charts docs`
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { drawCharts } from "./charts.ts";
import { versions } from "./contestants.ts";
import { measureDrain } from "./drain.ts";
import { measureImports } from "./import_time.ts";
import { installDependencies } from "./install.ts";
import { type Options, type Part, readOptions } from "./options.ts";
import type { Results } from "./results.ts";
import { measureBusy, measureScale } from "./scale.ts";
import { measureSizes } from "./size.ts";
import { measureSteady } from "./steady.ts";
import {
  busyTable,
  drainTable,
  importTable,
  scaleTable,
  sizeTable,
  steadyTable,
} from "./tables.ts";

/** Measures one part on all runtimes, prints its tables and adds to the results. */
type Measure = (options: Options, results: Results) => Promise<void>;

const MEASURES: Readonly<Record<Part, Measure>> = {
  async steady({ runtimes, rounds }, { steady }) {
    for (const runtime of runtimes) {
      const results = await measureSteady(runtime, rounds);
      console.log(steadyTable(runtime, results));
      steady.push(...results);
    }
  },
  async drain({ runtimes, rounds }, { drain }) {
    for (const runtime of runtimes) {
      const results = await measureDrain(runtime, rounds);
      console.log(drainTable(runtime, results));
      drain.push(...results);
    }
  },
  async scale({ runtimes, rounds }, { scale, busy }) {
    // Each run takes seconds.
    const fewer = Math.max(1, Math.floor(rounds / 10));
    for (const runtime of runtimes) {
      const results = await measureScale(runtime, fewer);
      console.log(scaleTable(runtime, results));
      scale.push(...results);
      const others = await measureBusy(runtime, fewer);
      console.log(busyTable(runtime, others));
      busy.push(...others);
    }
  },
  async import({ runtimes, rounds }, { imports, sizes }) {
    for (const runtime of runtimes) {
      const results = await measureImports(runtime, Math.ceil(rounds / 2));
      console.log(importTable(runtime, results));
      imports.push(...results);
    }
    sizes.push(...await measureSizes());
    console.log(sizeTable(sizes));
  },
};

const options = readOptions();
await installDependencies();
const results: Results = {
  date: new Date().toISOString(),
  machine: `${cpus().length} × ${cpus()[0]?.model}`,
  versions: versions(),
  rounds: options.rounds,
  steady: [],
  drain: [],
  scale: [],
  busy: [],
  imports: [],
  sizes: [],
};
console.log(
  `${results.machine}; ${results.versions.join(", ")}; ${options.rounds} rounds`,
);
for (const part of options.parts) await MEASURES[part](options, results);
if (options.json !== undefined) {
  writeFileSync(options.json, JSON.stringify(results, undefined, 2) + "\n");
}
if (options.charts !== undefined) {
  console.log(
    `\nDrawn: ${(await drawCharts(results, options.charts)).join(", ")}`,
  );
}
