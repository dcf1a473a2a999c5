/** Tries random schedules of one seed on servers of one kind. */
import fc from "fast-check";
import type { Kind } from "./exceptions.ts";
import { runSchedule } from "./run_schedule.ts";
import { orderly, racing } from "./schedule.ts";

/** What schedules to try. */
export interface Check {
  readonly seed: number;
  /** The number of schedules. */
  readonly runs: number;
  /** Whether steps race each other. */
  readonly races: boolean;
  /** The number of milliseconds after which no further schedule begins. */
  readonly limit: number;
}

/** What has come of the schedules. */
export interface Result {
  /** The number of schedules that were tried. */
  readonly runs: number;
  /** The smallest schedule that differs from the model, and how to replay it, if there is one. */
  readonly difference?: string;
}

/** Tries schedules one after the other, and shrinks the first that differs from the model. */
export async function check(kind: Kind, { seed, runs, races, limit }: Check): Promise<Result> {
  const property = fc.asyncProperty(
    races ? racing : orderly,
    (schedule) => runSchedule(kind, schedule),
  );
  const result = await fc.check(property, {
    seed,
    numRuns: runs,
    interruptAfterTimeLimit: limit,
  });
  const { failed, numRuns, counterexample, errorInstance } = result;
  if (!failed || counterexample === null) return { runs: numRuns };
  const reason = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  const replay = `--replay '${JSON.stringify(counterexample[0])}'`;
  return {
    runs: numRuns,
    difference: `${reason}\nseed ${seed}; replay it with\n  ${commandOf(kind)} ${replay}`,
  };
}

/** The command that tries schedules on a kind of server. */
export function commandOf({ runtime, engine, via, transport }: Kind): string {
  const program = {
    node: "node",
    go: "node",
    deno: "deno run --allow-all --no-check --unstable-net",
    bun: "bun",
  }[runtime];
  const options = [
    `--engine ${engine}`,
    ...(via === "adopt" ? ["--adopt"] : []),
    ...(transport === "tcp" ? [] : [`--${transport}`]),
  ];
  return `${program} tests/model/run.ts ${options.join(" ")}`;
}
