/**
 * Restarts three processes behind HAProxy, one a runtime, each in turn and under load: with this
 * package, and as it is written without it. Counts what was lost.
 *
 * `node bench/rolling/rolling.ts --rounds 5`
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { installed } from "../../support/installed.ts";
import { roll, type Rolled, type RollOptions } from "../../support/rolling/roll.ts";
import { asCount } from "../restart/runtimes.ts";
import { printReport } from "./report.ts";

const graceful = new URL("../../tests/programs/rolling.ts", import.meta.url);
const naive = new URL("../../tests/programs/rolling_naive.ts", import.meta.url);

/** What many run: HAProxy makes up for a server that refuses a connection. */
const forgiveness = { retries: 3, redispatch: true };

const ways: Readonly<Record<string, Omit<RollOptions, "haproxy">>> = {
  "@x/graceful, drainDelay: 500": { program: graceful, args: ["500"] },
  "@x/graceful, drainDelay: 0": { program: graceful, args: ["0"] },
  "the runtimes' own stops": { program: naive },
  "killed": { program: naive, signal: "SIGKILL" },
  "HAProxy retries: drainDelay: 0": {
    program: graceful,
    args: ["0"],
    forgiveness,
  },
  "HAProxy retries: idleGrace: 1000": {
    program: graceful,
    args: ["0", "1000"],
    forgiveness,
  },
  "HAProxy retries: their own stops": { program: naive, forgiveness },
  "HAProxy retries: killed": { program: naive, signal: "SIGKILL", forgiveness },
};

/** The path of HAProxy. */
function pathOfHAProxy(): string {
  const path = installed("haproxy");
  if (path === undefined) {
    throw new Error("Cannot roll as 'haproxy' must be installed");
  }
  return path;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // Leaving takes the services along.
  process.once(signal, () => process.exit(1));
}

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "2" } },
});
const rounds = asCount("--rounds", values.rounds, 1);
const results: [string, Rolled][] = [];
for (const [way, options] of Object.entries(ways)) {
  results.push([
    way,
    await roll({ haproxy: pathOfHAProxy(), rounds, requests: 0, ...options }),
  ]);
}
printReport(results);
