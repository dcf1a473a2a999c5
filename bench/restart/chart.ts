/**
 * Draws what becomes of requests while a service is restarted every 5 s in three ways: handed over by
 * this package, stopped and started, and with SO_REUSEPORT alone.
 *
 * `node bench/restart/chart.ts --runtime bun --seconds 60 && deno fmt bench/restart/restarts.svg`
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Engine } from "../../mod.ts";
import { type Runtime, versionOf } from "../../support/runtimes.ts";
import { record, type RecordOptions } from "./record.ts";
import { asCount, asRuntime } from "./runtimes.ts";
import { draw, type Panel } from "./svg.ts";
import { BIN } from "./tally.ts";
import { type Handoff, handOff, naiveReusePort, stopAndStart, type Way } from "./ways.ts";

interface Options extends RecordOptions {
  readonly runtime: Runtime;
  readonly handoff: Handoff;
  readonly engine: "auto" | Engine;
  readonly out: string;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", default: "bun" },
      handoff: { type: "string", default: "inherit" },
      engine: { type: "string", default: "auto" },
      seconds: { type: "string", default: "60" },
      every: { type: "string", default: "5" },
      new: { type: "string", default: "32" },
      kept: { type: "string", default: "16" },
      pause: { type: "string", default: "20" },
      out: {
        type: "string",
        default: fileURLToPath(new URL("restarts.svg", import.meta.url)),
      },
    },
  });
  return {
    runtime: asRuntime(values.runtime),
    // The casts: serve() refuses what is none.
    handoff: values.handoff as Handoff,
    engine: values.engine as "auto" | Engine,
    seconds: asCount("--seconds", values.seconds, 1),
    every: asCount("--every", values.every, 1),
    fresh: asCount("--new", values.new, 0),
    kept: asCount("--kept", values.kept, 0),
    pause: asCount("--pause", values.pause, 0),
    out: values.out,
  };
}

function waysOf(
  { runtime, handoff, engine }: Options,
): readonly { title: string; way: Way }[] {
  return [
    {
      title: `@x/graceful, handoff: "${handoff}"`,
      way: handOff(runtime, handoff, engine),
    },
    { title: "Stop, then start", way: stopAndStart(runtime) },
    { title: "SO_REUSEPORT alone", way: naiveReusePort(runtime) },
  ];
}

/** What is to be known about the run. */
function footOf({ runtime, every, fresh, kept, pause }: Options): string[] {
  return [
    `${
      versionOf(runtime)
    }, restarted every ${every} s (dotted) under load: ${fresh} clients open a ` +
    `connection for every request, ${kept} keep theirs alive.`,
    `They pause for up to ${pause} ms after each response, and retry nothing.`,
    `Shown are the answers a second, one color a process; below them the requests that failed, ` +
    `in bins of ${BIN} ms.`,
  ];
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // Leaving takes the services along.
  process.once(signal, () => process.exit(1));
}

const options = readOptions();
const panels: Panel[] = [];
for (const { title, way } of waysOf(options)) {
  const recording = await record(way, options);
  const { failed, requests, restarts } = recording;
  console.log(
    `${title}: ${failed} of ${requests} requests failed in ${restarts.length} restarts`,
  );
  panels.push({ title, recording });
}
writeFileSync(options.out, draw(panels, footOf(options)));
