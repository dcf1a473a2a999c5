/** When WebSockets are sent the close frame: on a clock that the test moves on. */
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { assertEquals } from "@std/assert";
import { Farewell } from "../../src/server/farewell.ts";
import { FakeTimers } from "../support/fake_timers.ts";
import { runtime } from "../support/fixture.ts";

const never = new Promise<void>(() => {});

/** A farewell, and what it has done. */
function recorded(): { farewell: Farewell; events: string[] } {
  const events: string[] = [];
  const farewell = new Farewell(() => events.push("said"), () => events.push("done"));
  return { farewell, events };
}

/** Lets the turns of the event loop pass that a farewell waits for. */
async function turns(): Promise<void> {
  for (let i = 0; i < 6; i++) await turn();
}

for (
  const [timeout, time] of [[undefined, 5_000], [60_000, 5_000], [10_000, 5_000], [
    600,
    300,
  ]] as const
) {
  test(`[${runtime}] sayAfter() gives last words ${time} ms of a timeout of ${timeout}`, async () => {
    const timers = new FakeTimers();
    await timers.use(async () => {
      const { farewell, events } = recorded();
      farewell.sayAfter(never, never, timeout);
      await timers.pass(time - 1);
      await turns();
      assertEquals([events, farewell.isDone], [[], false]);
      await timers.pass(1);
      await turns();
      assertEquals([events, farewell.isDone], [["said", "done"], true]);
    });
  });
}

test(`[${runtime}] sayAfter() leaves no timer behind when the drain is over before the last words`, async () => {
  const timers = new FakeTimers();
  await timers.use(async () => {
    const { farewell } = recorded();
    const over = Promise.withResolvers<void>();
    farewell.sayAfter(never, over.promise, undefined);
    assertEquals(timers.delays, [5_000]);
    over.resolve();
    await turns();
    assertEquals(timers.delays, []);
  });
});

test(`[${runtime}] say() says farewell once, also when it is said by force before the time`, async () => {
  const timers = new FakeTimers();
  await timers.use(async () => {
    const { farewell, events } = recorded();
    farewell.sayAfter(never, never, undefined);
    await farewell.say();
    await timers.pass(5_000);
    await turns();
    assertEquals(events, ["said", "done"]);
  });
});
