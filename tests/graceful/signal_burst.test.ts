/** How long signals count as copies of one, on a clock of the test's. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { SignalBurst } from "../../src/graceful/signal_burst.ts";
import { FakeTimers } from "../support/fake_timers.ts";
import { runtime } from "../support/fixture.ts";

async function withBurst(fn: (burst: SignalBurst, timers: FakeTimers) => Promise<void>) {
  const timers = new FakeTimers();
  await timers.use(() => fn(new SignalBurst(), timers));
}

test(`[${runtime}] SignalBurst is off until it begins, and sets no timer`, async () => {
  await withBurst(async (burst, timers) => {
    assertEquals([burst.isOn, timers.delays], [false, []]);
    await timers.pass(1_000);
    assertEquals(burst.isOn, false);
  });
});

test(`[${runtime}] SignalBurst is on for 500 ms, and leaves no timer`, async () => {
  await withBurst(async (burst, timers) => {
    burst.begin();
    await timers.pass(499);
    assertEquals(burst.isOn, true);
    await timers.pass(1);
    assertEquals([burst.isOn, timers.delays], [false, []]);
  });
});

test(`[${runtime}] SignalBurst begin() starts the time anew, with one timer`, async () => {
  await withBurst(async (burst, timers) => {
    burst.begin();
    for (let copies = 0; copies < 5; copies++) {
      await timers.pass(450);
      burst.begin();
      assertEquals([burst.isOn, timers.delays.length], [true, 1]);
    }
    await timers.pass(500);
    assertEquals(burst.isOn, false);
  });
});

test(`[${runtime}] SignalBurst begins again after its end`, async () => {
  await withBurst(async (burst, timers) => {
    for (let round = 0; round < 2; round++) {
      burst.begin();
      assertEquals(burst.isOn, true);
      await timers.pass(500);
      assertEquals([burst.isOn, timers.delays], [false, []]);
    }
  });
});

test(`[${runtime}] SignalBurst counts turns of the event loop, however long one takes`, async () => {
  await withBurst(async (burst, timers) => {
    burst.begin();
    for (let turn = 1; turn < 10; turn++) {
      await timers.passBusy(60_000);
      assertEquals(burst.isOn, true);
    }
    await timers.passBusy(60_000);
    assertEquals(burst.isOn, false);
  });
});

test(`[${runtime}] SignalBurst end() ends it at once, and may be called twice`, async () => {
  await withBurst((burst, timers) => {
    burst.begin();
    burst.end();
    assertEquals([burst.isOn, timers.delays], [false, []]);
    burst.end();
    return Promise.resolve();
  });
});

test(`[${runtime}] SignalBurst does not keep the process alive`, async () => {
  await withBurst((burst, timers) => {
    burst.begin();
    burst.begin();
    assertEquals(timers.isReferenced, false);
    return Promise.resolve();
  });
});
