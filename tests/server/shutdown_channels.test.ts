/** The channels of node:diagnostics_channel on which calls of `shutdown` are published. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, serveTcp, type ShutdownChannels, ShutdownIncompleteError } from "../../mod.ts";
import { internals } from "../../src/runtime/node/internals.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;

type Start = ShutdownChannels["graceful.shutdown.start"];
type End = ShutdownChannels["graceful.shutdown.end"];

/** Calls a function, and returns what was published meanwhile. */
async function published(
  fn: (ends: readonly End[]) => Promise<unknown>,
): Promise<{ starts: Start[]; ends: End[] }> {
  const [starts, ends]: [Start[], End[]] = [[], []];
  // The casts: what the messages of these channels are.
  const onStart = (message: unknown) => void starts.push(message as Start);
  const onEnd = (message: unknown) => void ends.push(message as End);
  subscribe("graceful.shutdown.start", onStart);
  subscribe("graceful.shutdown.end", onEnd);
  try {
    await fn(ends);
  } finally {
    unsubscribe("graceful.shutdown.start", onStart);
    unsubscribe("graceful.shutdown.end", onEnd);
  }
  return { starts, ends };
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} shutdown() is published with the address, the connections and the report`, async () => {
    const fixture = await start(engine);
    const { server } = fixture;
    const { addr } = server;
    const active = await connect(addr);
    active.write(request("/wait"));
    await deadline(fixture.arrived("/wait"), SOON);
    const { starts, ends } = await published(async (ends) => {
      const error = await assertRejects(
        () => server.shutdown({ timeout: 20 }),
        ShutdownIncompleteError,
      );
      const done = server.shutdown();
      fixture.open();
      await deadline(active.response(), SOON);
      const report = await deadline(done, SOON);
      assertEquals(ends.map(({ report }) => report), [error.report, report]);
      assertEquals(ends.map(({ error }) => error), [error, undefined]);
    });
    assertEquals(starts.map((message) => message.addr), [addr, addr]);
    assertEquals(ends.map((message) => message.addr), [addr, addr]);
    assertEquals(starts[0]!.connections.map(({ path }) => path), ["/wait"]);
    const [incomplete, drained] = ends;
    assertEquals([incomplete!.report!.reason, drained!.report!.reason], ["timeout", "drained"]);
    assert(incomplete!.duration >= 19, `${incomplete!.duration}`);
  });
}

test(`[${runtime}] shutdown() of servers of serveTcp() and adopt() is published`, async () => {
  const tcp = await serveTcp(() => {}, { port: 0, hostname: "127.0.0.1" });
  const native = http.createServer().listen(0, "127.0.0.1");
  await once(native, "listening");
  const silent = adopt(net.createServer());
  const { ends } = await published(async () => {
    for (const server of [tcp, adopt(native), silent]) await deadline(server.shutdown(), SOON);
  });
  assertEquals(ends.map(({ report, error }) => [report?.reason, error]), [
    ["drained", undefined],
    ["drained", undefined],
    ["drained", undefined],
  ]);
  assertEquals(ends[2]!.addr, { transport: "unix", path: "" });
});

test(`[${runtime}] shutdown() is published to all although a subscriber throws or leaves`, async () => {
  const { server } = await start(engines[0]!);
  const seen: string[] = [];
  const leaving = () => {
    seen.push("leaving");
    unsubscribe("graceful.shutdown.start", leaving);
  };
  const throwing = () => {
    seen.push("throwing");
    throw new Error("of a subscriber, on purpose");
  };
  subscribe("graceful.shutdown.start", leaving);
  subscribe("graceful.shutdown.start", throwing);
  const { starts } = await published(() => deadline(server.shutdown(), SOON));
  unsubscribe("graceful.shutdown.start", throwing);
  assertEquals([...seen, starts.length], ["leaving", "throwing", 1]);
});

test(`[${runtime}] shutdown() is published without the internal subscribersOf`, async () => {
  const { server } = await start(engines[0]!);
  const { subscribersOf } = internals;
  internals.subscribersOf = () => undefined;
  try {
    const { starts, ends } = await published(() => deadline(server.shutdown(), SOON));
    assertEquals([starts.length, ends.length], [1, 1]);
  } finally {
    internals.subscribersOf = subscribersOf;
  }
});

test("[bun] shutdown() is published to subscribers of channels that nobody else holds", {
  skip: runtime !== "bun",
}, async () => {
  const { server } = await start(engines[0]!);
  // The cast: the types of node do not know Bun.
  const { Bun } = globalThis as unknown as { Bun: { gc(force: boolean): void } };
  const { starts } = await published(async () => {
    // Collecting what was used in a turn takes another one.
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      Bun.gc(true);
    }
    await deadline(server.shutdown(), SOON);
  });
  assertEquals(starts.length, 1);
});
