/** The loop of a drain, on a clock of the test's: when it polls, what wakes it, and how it ends. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { ShutdownOptions } from "../../src/options/shutdown.ts";
import { Changes, drain, type DrainResult } from "../../src/server/drain.ts";
import type { PollPolicy } from "../../src/server/conn_table.ts";
import { CountedSignal } from "../support/counted_signal.ts";
import { FakeTimers, settled } from "../support/fake_timers.ts";
import { runtime } from "../support/fixture.ts";

/** A drain of a server of which nothing is real but the loop. */
class DrainOf {
  readonly timers: FakeTimers = new FakeTimers();
  readonly changes: Changes = new Changes();
  readonly context: CountedSignal = new CountedSignal();
  /** When the loop asked the server, and what for. */
  readonly polls: { at: number; policy: PollPolicy }[] = [];
  /** Whether nothing is left to wait for. */
  isEmpty = false;
  /** Set once the loop has ended. */
  result: DrainResult | undefined;

  /** Runs the loop and the test beside it. `random` is what `Math.random` returns. */
  static async run(
    options: ShutdownOptions,
    test: (drained: DrainOf) => Promise<void>,
    { random = 0, isAborted = false }: { random?: number; isAborted?: boolean } = {},
  ): Promise<void> {
    const drained = new DrainOf();
    if (isAborted) drained.context.abort();
    const { random: real } = Math;
    Math.random = () => random;
    try {
      await drained.timers.use(async () => {
        drained.#start(options);
        await settled();
        await test(drained);
      });
    } finally {
      Math.random = real;
    }
  }

  /** Whether the loop has left nothing behind: no timer, no listener of its context. */
  get isClean(): boolean {
    return this.timers.delays.length === 0 && this.context.listeners === 0;
  }

  #start(options: ShutdownOptions): void {
    const server = {
      closeIdleConns: (now: number, policy: PollPolicy) => {
        this.polls.push({ at: now, policy });
        return this.isEmpty;
      },
    };
    drain(server, this.context.signal, this.changes, options, () => this.timers.now)
      .then((result) => this.result = result);
  }
}

/** The pauses of Go's loop, in ms. */
const PAUSES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 500, 500, 500];

test(`[${runtime}] drain() ends at the first poll where nothing is left`, async () => {
  const drained = new DrainOf();
  drained.isEmpty = true;
  const server = { closeIdleConns: () => drained.isEmpty };
  await drained.timers.use(async () => {
    const result = await drain(server, drained.context.signal, drained.changes, {});
    assertEquals(result, { drained: true, polls: 1 });
  });
  assertEquals(drained.timers.delays, []);
});

test(`[${runtime}] drain() pauses for 1 ms, and twice as long after each poll, up to 500 ms`, async () => {
  await DrainOf.run({}, async (drained) => {
    for (const [index, pause] of PAUSES.entries()) {
      assertEquals(drained.timers.delays, [pause]);
      await drained.timers.pass(pause - 1);
      assertEquals(drained.polls.length, index + 1);
      await drained.timers.pass(1);
      assertEquals(drained.polls.length, index + 2);
    }
    assertEquals(drained.result, undefined);
  });
});

test(`[${runtime}] drain() adds up to 10 % of random jitter to each pause`, async () => {
  await DrainOf.run({}, async (drained) => {
    for (const pause of PAUSES) {
      assertEquals(drained.timers.delays, [pause * 1.05]);
      await drained.timers.pass(pause * 1.05);
    }
  }, { random: 0.5 });
});

test(`[${runtime}] drain() pauses for pollInterval, without jitter, if it is given`, async () => {
  await DrainOf.run({ pollInterval: 70 }, async (drained) => {
    for (let polls = 1; polls <= 5; polls++) {
      assertEquals([drained.polls.length, ...drained.timers.delays], [polls, 70]);
      await drained.timers.pass(70);
    }
  }, { random: 0.9 });
});

test(`[${runtime}] drain() polls as soon as a connection changes, and ends with the last of them`, async () => {
  await DrainOf.run({ pollInterval: 3_600_000 }, async (drained) => {
    drained.changes.announce();
    await settled();
    assertEquals([drained.polls.length, drained.result], [2, undefined]);
    drained.isEmpty = true;
    drained.changes.announce();
    await settled();
    assertEquals(drained.result, { drained: true, polls: 3 });
    assertEquals(drained.timers.now, 0);
    assert(drained.isClean);
  });
});

test(`[${runtime}] drain() looks only at changes when it is woken, and does not put off the next full poll`, async () => {
  await DrainOf.run({ pollInterval: 100 }, async (drained) => {
    for (let change = 0; change < 3; change++) {
      await drained.timers.pass(30);
      drained.changes.announce();
      await settled();
    }
    await drained.timers.pass(10);
    assertEquals(
      drained.polls.map(({ at, policy }) => [at, policy.onlyChanged]),
      [[0, false], [30, true], [60, true], [90, true], [100, false]],
    );
  });
});

test(`[${runtime}] drain() defers nothing at its last poll`, async () => {
  await DrainOf.run({}, async (drained) => {
    drained.context.abort();
    await settled();
    const asked = drained.polls.map(({ policy: { onlyChanged, atOnce } }) => [onlyChanged, atOnce]);
    assertEquals(asked, [[false, false], [false, true]]);
  });
});

test(`[${runtime}] drain() does not miss a change during a poll`, async () => {
  const drained = new DrainOf();
  let polls = 0;
  const server = {
    closeIdleConns: () => {
      if (polls++ === 0) drained.changes.announce();
      return polls === 2;
    },
  };
  await drained.timers.use(async () => {
    const options = { pollInterval: 3_600_000 };
    const result = await drain(server, drained.context.signal, drained.changes, options);
    assertEquals(result, { drained: true, polls: 2 });
  });
});

for (const isEmpty of [false, true]) {
  test(`[${runtime}] drain() polls once more when its context is done, ${isEmpty ? "and" : "not"} drained`, async () => {
    await DrainOf.run({ pollInterval: 3_600_000 }, async (drained) => {
      drained.isEmpty = isEmpty;
      drained.context.abort();
      await settled();
      assertEquals(drained.result, { drained: isEmpty, polls: 2 });
      assert(drained.isClean);
    });
  });
}

test(`[${runtime}] drain() polls once with a context that is done already`, async () => {
  await DrainOf.run({}, async (drained) => {
    assertEquals(drained.result, { drained: false, polls: 1 });
    assert(drained.isClean);
    await drained.timers.pass(10_000);
    assertEquals(drained.polls.length, 1);
  }, { isAborted: true });
});

test(`[${runtime}] drain() leaves no listener and no timer behind after many polls`, async () => {
  await DrainOf.run({}, async (drained) => {
    await drained.timers.pass(10_000);
    assert(drained.polls.length > 20);
    assertEquals(drained.timers.delays.length, 1);
    drained.isEmpty = true;
    await drained.timers.pass(500);
    assert(drained.result?.drained);
    assert(drained.isClean);
  });
});

test(`[${runtime}] drain() spares idle connections for idleGrace, and polls when it is over`, async () => {
  await DrainOf.run({ idleGrace: 700, pollInterval: 500 }, async (drained) => {
    await drained.timers.pass(499);
    drained.changes.announce();
    await settled();
    await drained.timers.pass(1_000);
    assertEquals(
      drained.polls.map(({ at, policy }) => [at, policy.spareIdle]),
      // The pause after 500 ms is cut to what is left of idleGrace.
      [[0, true], [499, true], [500, true], [700, false], [1_200, false]],
    );
  });
});

test(`[${runtime}] drain() spares no idle connection by default`, async () => {
  await DrainOf.run({}, async (drained) => {
    await drained.timers.pass(100);
    assert(drained.polls.every(({ policy }) => !policy.spareIdle));
  });
});

for (const hijacked of ["wait", "ignore", undefined] as const) {
  test(`[${runtime}] drain() tells each poll whether hijacked connections count: ${hijacked}`, async () => {
    await DrainOf.run({ hijacked }, async (drained) => {
      await drained.timers.pass(3);
      const expected = drained.polls.map(() => hijacked === "ignore");
      assertEquals(drained.polls.map(({ policy }) => policy.ignoreHijacked), expected);
    });
  });
}

test(`[${runtime}] Changes announce() wakes everybody who waits, and nobody who comes later`, async () => {
  const changes = new Changes();
  const woken: string[] = [];
  for (const name of ["a", "b"]) changes.next().then(() => woken.push(name));
  changes.announce();
  changes.next().then(() => woken.push("late"));
  await settled();
  assertEquals(woken, ["a", "b"]);
});
