/** The events of `graceful` on the channels of node:diagnostics_channel. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { graceful, type GracefulChannels, serve } from "../../mod.ts";
import { CHANNEL_NAMES, type ChannelName } from "../../src/core/channel_names.ts";
import { Ending, SOON } from "../support/ending.ts";
import { runtime } from "../support/fixture.ts";

/** `true` if the types name each channel, and no other one. */
type IsComplete = [ChannelName, keyof GracefulChannels] extends
  [keyof GracefulChannels, ChannelName] ? true
  : false;
const isComplete: IsComplete = true;

/** What an end publishes that drains, but for the event of each second. */
const DRAINED = [
  "graceful.ending",
  "graceful.shutdown.start",
  "graceful.draining",
  "graceful.shutdown.end",
  "graceful.drained",
  "graceful.ended",
];

const namesOf = (ending: Ending) =>
  ending.messages.map(([name]) => name).filter((name) => name !== "graceful.waiting");

test(`[${runtime}] GracefulChannels and docs/observability.md name each channel`, () => {
  assert(isComplete);
  const page = readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(graceful\.\S+)` /gm)].map(([, name]) => name!);
  assertEquals(rows.toSorted(), CHANNEL_NAMES.toSorted());
});

test(`[${runtime}] graceful() publishes its events where the log is off`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { log: false, timeout: 1_300 },
    channels: "write",
  });
  await ending.inFlight("/stuck");
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 1);
  const names = ending.messages.map(([name]) => name);
  assertEquals(names, [
    "graceful.ending",
    "graceful.shutdown.start",
    "graceful.draining",
    "graceful.waiting",
    "graceful.shutdown.end",
    "graceful.forced",
    "graceful.drained",
    "graceful.ended",
  ]);
  const [ending_, start, draining, waiting, end, forced, drained, ended] = ending.messages
    .map(([, message]) => message) as Record<string, unknown>[];
  assertEquals([ending_!["type"], ending_!["cause"]], ["ending", "SIGTERM"]);
  for (const { connections } of [start!, draining!, waiting!, forced!]) {
    // The cast: what a message of these channels has.
    const [connection] = connections as { path: string }[];
    assertEquals(connection!.path, "/stuck");
  }
  // The casts: what the message has.
  const { addr, report, error } = end as unknown as GracefulChannels["graceful.shutdown.end"];
  assertEquals([addr, report?.reason], [ending.addrs[0]!, "timeout"]);
  assertStringIncludes(String(error), "ShutdownIncompleteError");
  assertEquals(drained!["forced"], true);
  const last = ended as unknown as GracefulChannels["graceful.ended"];
  assertEquals([last.report.exitCode, last.report.servers[0]!.forced], [1, 1]);
  assert(last.elapsed >= 1_299, `${last.elapsed}`);
});

test(`[${runtime}] graceful() publishes what it passes to a log`, async () => {
  const ending = await Ending.start({ servers: ["auto"], channels: "write" });
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 0);
  assertEquals(namesOf(ending), DRAINED);
  const published = ending.messages.map(([, message]) => message).filter((one) => "type" in one);
  assertEquals(published, ending.events as unknown[]);
});

for (const channels of ["throw", "reject"] as const) {
  for (const exceptions of [undefined, "drain"] as const) {
    test(`[${runtime}] graceful() drains although subscribers ${channels}, exceptions: ${exceptions}`, async () => {
      const ending = await Ending.start({
        servers: ["auto"],
        graceful: { exceptions },
        cleanups: ["quick"],
        channels,
      });
      const client = await ending.inFlight("/drain");
      ending.program.signal("SIGTERM");
      assertEquals((await deadline(client.response(), SOON)).body, "/drain");
      assertEquals(await ending.exit(), 0);
      const { output } = ending.program;
      assertEquals(namesOf(ending), DRAINED, output);
      assertStringIncludes(output, "cleanup: quick;");
      for (const name of DRAINED) assertStringIncludes(output, `of a subscriber of ${name}`);
    });
  }
}

test(`[${runtime}] graceful() publishes the last event before the process ends`, async () => {
  const interrupted = await Ending.start({ servers: ["auto"], channels: "write" });
  await interrupted.inFlight("/stuck");
  interrupted.program.signal("SIGINT");
  await interrupted.event("draining");
  assertEquals(await interrupted.force("SIGTERM"), 128 + 15);
  const [name, message] = interrupted.messages.findLast(([, { type }]) => type !== undefined)!;
  assertEquals([name, message["exitCode"]], ["graceful.interrupted", 128 + 15]);

  const leaking = await Ending.start({
    servers: ["auto"],
    graceful: { exit: 100 },
    cleanups: ["leaking", "failing"],
    channels: "write",
  });
  leaking.program.signal("SIGTERM");
  assertEquals(await leaking.exit(), 1);
  assertEquals(namesOf(leaking).slice(-3), [
    "graceful.failed",
    "graceful.ended",
    "graceful.kept-alive",
  ]);
});

test(`[${runtime}] graceful() publishes the listeners of others`, async () => {
  const seen: unknown[] = [];
  const keep = (message: unknown) => seen.push(message);
  subscribe("graceful.other-listeners", keep);
  const other = function other() {};
  process.on("SIGTERM", other);
  await graceful([], { signal: AbortSignal.abort(), exit: false, log: false });
  process.off("SIGTERM", other);
  unsubscribe("graceful.other-listeners", keep);
  // The cast: what the message of this channel is.
  const [message] = seen as GracefulChannels["graceful.other-listeners"][];
  assertEquals(message!.listeners.some(({ name }) => name === "other"), true);
});

test(`[${runtime}] graceful() makes no list of connections that nobody hears of`, async () => {
  const count = async () => {
    const server = await serve(() => new Response("hello"), { port: 0, hostname: "127.0.0.1" });
    let calls = 0;
    const connections = server.connections.bind(server);
    server.connections = () => {
      calls++;
      return connections();
    };
    await graceful(server, { signal: AbortSignal.abort(), exit: false, log: false });
    return calls;
  };
  // The report lists them, too.
  assertEquals(await count(), 1);
  for (const name of ["graceful.draining", "graceful.shutdown.start"]) {
    const listen = () => {};
    subscribe(name, listen);
    assertEquals(await count(), 2, name);
    unsubscribe(name, listen);
    assertEquals(await count(), 1, name);
  }
});
