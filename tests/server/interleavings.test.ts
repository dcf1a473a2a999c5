/**
 * The orchestrator alone: every interleaving of a few events, on a driver that does what the schedule says and on a
 * clock that the test moves on. 18 610 schedules, the same on each runtime.
 *
 * A schedule is a sequence of events with a gap before each but the first. Of the six events of a scenario, all orders
 * are run: of three of them with four gaps (nothing, a poll, 5 s, more than the deadline), of four with two (nothing, a
 * turn of the event loop), of all six in one turn. What must hold then is in support/interleavings/rules.ts. A schedule
 * that fails is written as JSON, which replays it: `node tests/programs/interleavings.ts '{"scenario":…}'`.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import type { Sweep } from "../support/interleavings/schedules.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";
import { SOON } from "../support/ending.ts";

/** The number of schedules of each scenario whose events can all happen. */
const COUNTS: Readonly<Record<string, number>> = {
  "a request in flight": 3_517,
  "a connection that arrives while the listener closes": 552,
  "a listener that fails to close": 3_874,
  "a hook that fails late": 2_185,
  "a connection in the accept queue": 2_620,
  "work behind a response whose end is not announced": 2_620,
  "a WebSocket that nobody waits for": 1_913,
  "two connections": 1_329,
};

const program = run("interleavings.ts", []);

for (const [scenario, count] of Object.entries(COUNTS)) {
  test(`[${runtime}] shutdown() and close() keep the rules in ${count} interleavings: ${scenario}`, async () => {
    const line = await program.says(new RegExp(`^{"scenario":"${scenario}".*$`, "m"));
    const swept: Sweep = JSON.parse(line);
    assertEquals(swept.failures.map((failure) => JSON.stringify(failure)), []);
    assertEquals(swept.count, count);
  });
}

test(`[${runtime}] shutdown() and close() leave no rejection that nobody handles`, async () => {
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
});
