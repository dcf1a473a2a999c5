/**
 * A rolling restart behind a load balancer: HAProxy in front of one process a runtime, each of which
 * is restarted twice under load. Not one request may fail, and HAProxy may not help.
 */
import { test } from "node:test";
import { existsSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import { RUNTIMES } from "../../support/runtimes.ts";
import { runtime } from "../support/fixture.ts";
import { installed } from "../../support/installed.ts";
import { roll, type Rolled } from "../../support/rolling/roll.ts";

/** For how long a process keeps serving after its signal, in ms: a few checks of HAProxy. */
const DRAIN_DELAY = 500;

const ROUNDS = 2;
const REQUESTS = 20_000;

const haproxy = installed("haproxy");
const missing = ["haproxy", ...RUNTIMES].filter((program) => installed(program) === undefined);
const name =
  `[${runtime}] serve() behind HAProxy loses none of ${REQUESTS} requests in a rolling restart`;

/** How many processes of each runtime there are. */
const GENERATIONS = 1 + ROUNDS;

/** The processes of a runtime that have answered. */
function answerers({ answered }: Rolled, runtime: string): Set<number> {
  return new Set(answered.filter((one) => one.runtime === runtime).map(({ pid }) => pid));
}

/** How many requests were in flight when a restarted process closed its listener, and answered. */
function inFlight({ answered, restarts }: Rolled): number {
  return answered.filter(({ pid, start, end }) => {
    const signalled = restarts.find((restart) => restart.pid === pid)?.start;
    return signalled !== undefined && start < signalled && end > signalled + DRAIN_DELAY;
  }).length;
}

/** How often HAProxy took a server out, and why. */
function downs({ log }: Rolled, runtime: string): string[] {
  const why = new RegExp(`^Server service/${runtime} is DOWN, reason: (.*?), (?:info|check)`);
  return log.map((line) => why.exec(line)?.[1]).filter((reason) => reason !== undefined);
}

if (haproxy === undefined || missing.length > 0) {
  test(`${name} (skipped: ${missing.join(" and ")} not installed)`, { skip: true });
} else {
  test(name, async () => {
    const rolled = await roll({
      haproxy,
      program: new URL("../programs/rolling.ts", import.meta.url),
      args: [`${DRAIN_DELAY}`],
      rounds: ROUNDS,
      requests: REQUESTS,
    });
    const { answered, failed, restarts, exitCodes, log, folder } = rolled;
    assertEquals(failed, [], log.join("\n"));
    assert(answered.length >= REQUESTS, `only ${answered.length} requests`);
    assertEquals(restarts.length, ROUNDS * RUNTIMES.length);
    for (const runtime of RUNTIMES) {
      assertEquals(answerers(rolled, runtime).size, GENERATIONS, runtime);
      // By its readiness, before anything was refused.
      const reason = "Layer7 wrong status, code: 503";
      assertEquals(downs(rolled, runtime), Array(ROUNDS).fill(reason), runtime);
    }
    assert(inFlight(rolled) > 0, "no request was in flight when a listener closed");
    // That the processes are gone and their ports free, is waited for.
    assertEquals(exitCodes, Array(GENERATIONS * RUNTIMES.length).fill(0));
    assert(!existsSync(folder));
  });
}
