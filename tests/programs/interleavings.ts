/**
 * Runs all schedules of all scenarios on the orchestrator, on a clock of its own, and writes what came of each scenario
 * as a line of JSON. It is a program of its own because `node:test` on Node follows every promise, which takes most of
 * the time.
 *
 * With the JSON of a failure as its argument it replays that schedule, and writes what happens step by step.
 */
import process from "node:process";
import { SCENARIOS } from "../support/interleavings/scenarios.ts";
import { type Failure, runSchedule, sweep } from "../support/interleavings/schedules.ts";

const [failure] = process.argv.slice(2);
if (failure === undefined) await sweepAll();
else await replay(JSON.parse(failure));

async function sweepAll(): Promise<void> {
  // Thousands of errors are made whose stack nobody reads.
  Error.stackTraceLimit = 0;
  for (const scenario of SCENARIOS) console.log(JSON.stringify(await sweep(scenario)));
}

async function replay({ scenario: name, schedule }: Failure): Promise<void> {
  const scenario = SCENARIOS.find((scenario) => scenario.name === name);
  if (scenario === undefined) throw new TypeError(`Cannot find the scenario "${name}"`);
  const broken = await runSchedule(scenario, schedule, (line) => console.log(line));
  console.log(broken === undefined ? "an event cannot happen" : broken.join("\n"));
}
