/** Tries random schedules on servers of one kind, or replays one. */
import process from "node:process";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { currentRuntime } from "../../support/runtimes.ts";
import type { Kind } from "./exceptions.ts";
import { runSchedule } from "./run_schedule.ts";
import { orderly, racing, type Schedule } from "./schedule.ts";

const USAGE = `node|deno run -A|bun tests/model/run.ts [options]

--engine NAME   the engine; the default is the first of the runtime; go is the oracle
--runs N        the number of schedules (default 100)
--seed N        the seed (default: the time)
--jobs N        how many schedules run at the same time (default 4)
--races         steps race each other
--adopt         servers of node:http that are adopted
--tls, --unix   over TLS, or a unix socket
--replay JSON   runs this schedule alone, as a failure has printed it`;

const { values } = parseArgs({
  options: {
    engine: { type: "string" },
    runs: { type: "string", default: "100" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    jobs: { type: "string", default: "4" },
    races: { type: "boolean", default: false },
    adopt: { type: "boolean", default: false },
    tls: { type: "boolean", default: false },
    unix: { type: "boolean", default: false },
    replay: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const kind: Kind = {
  runtime: values.engine === "go" ? "go" : currentRuntime,
  // The cast: `serve` refuses an engine that there is not.
  engine: (values.engine ?? (values.adopt ? "node" : currentRuntime)) as Kind["engine"],
  via: values.adopt ? "adopt" : "serve",
  transport: values.tls ? "tls" : values.unix ? "unix" : "tcp",
};

/** Tries schedules of one seed. Returns what to print if one fails. */
async function check(seed: number, runs: number): Promise<string | undefined> {
  const schedules = values.races ? racing : orderly;
  const property = fc.asyncProperty(schedules, (schedule) => runSchedule(kind, schedule));
  const { failed, counterexample, errorInstance } = await fc.check(property, {
    seed,
    numRuns: runs,
    interruptAfterTimeLimit: 200_000,
  });
  if (!failed || counterexample === null) return undefined;
  const reason = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  return `${reason}\nseed ${seed}; replay with\n  --replay '${JSON.stringify(counterexample[0])}'`;
}

if (values.help) console.log(USAGE);
else if (values.replay !== undefined) {
  // The cast: what a failure has printed is a schedule.
  await runSchedule(kind, JSON.parse(values.replay) as Schedule);
  console.log("no difference");
} else {
  const jobs = Number(values.jobs);
  const start = performance.now();
  const results = await Promise.all(
    Array.from(
      { length: jobs },
      (_, job) => check(Number(values.seed) + job, Math.ceil(Number(values.runs) / jobs)),
    ),
  );
  const failures = results.filter((result) => result !== undefined);
  for (const failure of failures) console.error(failure);
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  console.log(
    `${
      JSON.stringify(kind)
    }: ${values.runs} schedules, ${failures.length} differences, ${seconds} s`,
  );
  if (failures.length > 0) process.exitCode = 1;
}
