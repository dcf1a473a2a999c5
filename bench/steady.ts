/**
 * What `serve` costs while nothing is shut down: its processor time for a request and its memory
 * for a connection, beside the runtime's own server with the same handler.
 *
 * `npm run bench -- --runtime deno --engine node --rounds 41`
 */
import { parseArgs } from "node:util";
import type { Engine } from "../mod.ts";
import { compare } from "./compare.ts";
import type { HandlerName } from "./handlers.ts";
import type { LoadName } from "./load.ts";
import { memoryOf } from "./memory.ts";
import { type Runtime, RUNTIMES, versionOf } from "../support/runtimes.ts";
import type { Kind } from "./server.ts";
import { table } from "./table.ts";

/** What is measured on one runtime, in this order. Bare against bare shows the noise. */
const COMPARISONS: readonly { handler: HandlerName; load: LoadName; against: Kind }[] = [
  { handler: "sync", load: "kept-alive", against: "bare" },
  { handler: "sync", load: "kept-alive", against: "graceful" },
  { handler: "sync", load: "kept-alive", against: "handoff" },
  { handler: "async", load: "kept-alive", against: "graceful" },
  { handler: "upload", load: "kept-alive", against: "graceful" },
  { handler: "sync", load: "connection", against: "bare" },
  { handler: "sync", load: "connection", against: "graceful" },
  { handler: "sync", load: "connection", against: "handoff" },
  { handler: "async", load: "connection", against: "graceful" },
  { handler: "upload", load: "connection", against: "graceful" },
];

/** What is said of a row beside its handler and its load. */
const NOTES: Record<Kind, string> = {
  bare: " (bare/bare)",
  graceful: "",
  handoff: ", handoff",
};

interface Options {
  readonly runtimes: readonly Runtime[];
  readonly engine: "auto" | Engine;
  readonly rounds: number;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [...RUNTIMES] },
      engine: { type: "string", default: "auto" },
      rounds: { type: "string", default: "61" },
    },
  });
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds > 0)) {
    throw new RangeError(`Cannot measure as '--rounds' must be 1 or more: it is ${values.rounds}`);
  }
  return {
    runtimes: values.runtime.map(asRuntime),
    // The cast: serve() refuses what is no engine.
    engine: values.engine as "auto" | Engine,
    rounds,
  };
}

function asRuntime(name: string): Runtime {
  const runtime = RUNTIMES.find((runtime) => runtime === name);
  if (runtime === undefined) {
    throw new RangeError(
      `Cannot measure as '--runtime' must be one of ${RUNTIMES.join(", ")}: it is ${name}`,
    );
  }
  return runtime;
}

async function timeTable(runtime: Runtime, { engine, rounds }: Options): Promise<string> {
  const rows = [["handler, load", "µs bare", "µs serve", "serve/bare", "quartiles"]];
  for (const comparison of COMPARISONS) {
    const { bare, other, ratio, quartiles } = await compare({
      ...comparison,
      runtime,
      engine,
      rounds,
    });
    const { handler, load, against } = comparison;
    rows.push([
      `${handler}, ${load}${NOTES[against]}`,
      bare.toFixed(1),
      other.toFixed(1),
      ratio.toFixed(3),
      quartiles.map((quartile) => quartile.toFixed(3)).join(" to "),
    ]);
  }
  return table(rows);
}

async function memoryTable(runtime: Runtime, { engine }: Options): Promise<string> {
  const rows = [["memory", "MiB", "KiB a connection"]];
  for (const kind of ["bare", "graceful"] as const) {
    const { rss, perConnection } = await memoryOf(kind, { runtime, engine, handler: "sync" });
    rows.push([
      kind === "bare" ? "bare" : "serve",
      (rss / 2 ** 20).toFixed(1),
      (perConnection / 2 ** 10).toFixed(1),
    ]);
  }
  return table(rows);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // Leaving takes the servers along.
  process.once(signal, () => process.exit(1));
}

const options = readOptions();
console.log(
  `Processor time of the server for a request, in the median of ${options.rounds} rounds.`,
);
for (const runtime of options.runtimes) {
  console.log(`\n${versionOf(runtime)}, engine ${options.engine}\n`);
  console.log(await timeTable(runtime, options) + "\n");
  console.log(await memoryTable(runtime, options));
}
