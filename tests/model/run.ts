/** Tries random schedules on servers of one kind, or replays one. */
import process from "node:process";
import { parseArgs } from "node:util";
import { currentRuntime } from "../../support/runtimes.ts";
import { check } from "./check.ts";
import type { Kind } from "./exceptions.ts";
import { runSchedule } from "./run_schedule.ts";
import type { Schedule } from "./schedule.ts";

const USAGE = `node|deno run -A|bun tests/model/run.ts [options]

--engine NAME   the engine: the default is the first of the runtime; "go" is the oracle
--runs N        the number of schedules (default 100)
--seed N        the seed (default: the time)
--jobs N        how many schedules run at the same time (default 4)
--limit S       begin no schedule after so many seconds (default 200)
--races         steps race each other
--adopt         servers of node:http that are adopted
--tls, --unix   over TLS, or a unix socket
--replay JSON   run this schedule alone, as a failure has printed it`;

const { values } = parseArgs({
  options: {
    engine: { type: "string" },
    runs: { type: "string", default: "100" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    jobs: { type: "string", default: "4" },
    limit: { type: "string", default: "200" },
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

async function checkInJobs(): Promise<void> {
  const { seed, runs, jobs, limit, races } = values;
  const start = performance.now();
  const results = await Promise.all(
    Array.from({ length: Number(jobs) }, (_, job) =>
      check(kind, {
        seed: Number(seed) + job,
        runs: Math.ceil(Number(runs) / Number(jobs)),
        races,
        limit: Number(limit) * 1_000,
      })),
  );
  const differences = results.flatMap(({ difference }) => difference ?? []);
  for (const difference of differences) console.error(difference);
  const done = results.reduce((sum, { runs }) => sum + runs, 0);
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  console.log(
    `${Object.values(kind).join(" ")}${
      races ? " races" : ""
    }: ${done} schedules from seed ${seed}, ` +
      `${differences.length} differences, ${seconds} s`,
  );
  if (differences.length > 0) process.exitCode = 1;
}

if (values.help) console.log(USAGE);
else if (values.replay === undefined) await checkInJobs();
else {
  // The cast: what a failure has printed is a schedule.
  await runSchedule(kind, JSON.parse(values.replay) as Schedule);
  console.log("no difference");
}
