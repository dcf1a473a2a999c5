/** The pauses before a worker is started again, and the crash loop. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Crashes } from "../../src/supervisor/crashes.ts";
import { runtime } from "../support/fixture.ts";

function pausesOf(uptimes: readonly (number | undefined)[]): number[] {
  const crashes = new Crashes(1_000);
  return uptimes.map((uptime) => {
    crashes.add(uptime);
    return crashes.pause;
  });
}

test(`[${runtime}] Crashes doubles the pause, up to 10 s`, () => {
  assertEquals(pausesOf(Array(9).fill(2_000)), [
    100,
    200,
    400,
    800,
    1_600,
    3_200,
    6_400,
    10_000,
    10_000,
  ]);
});

test(`[${runtime}] Crashes begins again after a worker that has served for 10 s`, () => {
  assertEquals(pausesOf([undefined, 0, 10_000, 9_999]), [100, 200, 100, 200]);
});

test(`[${runtime}] Crashes calls five early ends in a row a loop`, () => {
  const crashes = new Crashes(1_000);
  for (const uptime of [undefined, 0, 999, undefined, 1_000, 0, 0, 0, 999]) {
    crashes.add(uptime);
    assert(!crashes.isLoop);
  }
  crashes.add(undefined);
  assert(crashes.isLoop);
});
