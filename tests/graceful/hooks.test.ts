/** The hooks of a process's end, exceptions that nobody catches, and listeners of others. */
import { test } from "node:test";
import process from "node:process";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { graceful, type GracefulEvent, type GracefulOptions } from "../../mod.ts";
import { request } from "../../support/client.ts";
import { Ending, SOON } from "../support/ending.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms: longer than any test. */
const LONG = 60_000;

test(`[${runtime}] graceful() runs beforeShutdown while the servers serve, and waits for it`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { beforeShutdownTimeout: LONG },
    hooks: { beforeShutdown: "waiting" },
  });
  ending.program.signal("SIGTERM");
  await ending.says(/cleanup: waiting;/);
  assert(!ending.program.output.includes('"draining"'), ending.program.output);
  const client = await ending.request("/open");
  const response = await deadline(client.response(), SOON);
  // Its client would come back to a listener that is about to close.
  assert(response.headers["connection"]?.toLowerCase() !== "close");
  assertEquals([response.body, await ending.exit()], ["/open", 0]);
});

test(`[${runtime}] graceful() runs beforeShutdown in the lame duck, and the longer of the two counts`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { drainDelay: 300 },
    hooks: { beforeShutdown: "quick" },
  });
  ending.program.signal("SIGTERM");
  await ending.says(/cleanup: quick;/);
  assert(!ending.program.output.includes('"draining"'), ending.program.output);
  const { elapsed } = await ending.event("draining");
  assert(elapsed >= 299, `${elapsed}`);
  assertEquals(await ending.exit(), 0);
});

for (
  const [hook, limits, limit] of [
    ["beforeShutdown", { beforeShutdownTimeout: 100 }, "100 ms of beforeShutdownTimeout"],
    ["onDrain", { timeout: 100 }, "100 ms of timeout"],
  ] as const
) {
  test(`[${runtime}] graceful() names a ${hook} that does not end, and waits no longer than its time`, async () => {
    const ending = await Ending.start({
      servers: ["auto"],
      graceful: limits,
      hooks: { [hook]: "stuck" },
      cleanups: ["quick"],
    });
    ending.program.signal("SIGTERM");
    const failed = await ending.event("failed");
    assertEquals(failed.what, `${hook} stuck`);
    assertStringIncludes(String(failed.error), limit);
    assertEquals(await ending.exit(), 1);
    assertStringIncludes(ending.program.output, "cleanup: quick;");
  });

  test(`[${runtime}] graceful() goes on when ${hook} fails, and exits 1`, async () => {
    const ending = await Ending.start({
      servers: ["auto"],
      hooks: { [hook]: "failing" },
      cleanups: ["quick"],
    });
    ending.program.signal("SIGTERM");
    assertEquals((await ending.event("failed")).what, `${hook} failing`);
    assertEquals(await ending.exit(), 1);
    assertStringIncludes(ending.program.output, "cleanup: quick;");
  });
}

test(`[${runtime}] graceful() waits for onDrain like for a request, before the cleanup`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    hooks: { onDrain: "slow" },
    cleanups: ["quick"],
  });
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 0);
  const { output } = ending.program;
  assert(/"draining"[^]*cleanup: slow;[^]*"drained"[^]*cleanup: quick;/.test(output), output);
});

for (const throwing of ["exception", "rejection"] as const) {
  const cause = throwing === "exception" ? "uncaughtException" : "unhandledRejection";

  test(`[${runtime}] graceful() with exceptions: "drain" answers what is in flight at ${cause}, and exits 1`, async () => {
    const ending = await Ending.start({
      servers: ["auto"],
      graceful: { exceptions: "drain", idleGrace: 10_000 },
      throwing,
      cleanups: ["quick"],
    });
    const idle = await ending.request("/");
    await deadline(idle.response(), SOON);
    const active = await ending.inFlight("/gate");
    const failing = await ending.inFlight("/fail");
    await ending.event("failed");
    failing.vanish();
    // Another one comes then, by the program.
    await ending.event("draining");
    await ending.says(/"type":"failed"[^]*"type":"failed"/);
    idle.write(request("/open"));
    assertEquals((await deadline(active.response(), SOON)).body, "/gate");
    assertEquals(await ending.exit(), 1);
    assertStringIncludes(ending.program.output, "cleanup: quick;");
    const failed = ending.events.filter((event) => event.type === "failed");
    assertEquals(failed.map(({ what, error }) => `${what}: ${error}`), [
      `${cause}: Error: of ${throwing === "exception" ? "an" : "a"} ${throwing}`,
      `${cause}: Error: of ${throwing === "exception" ? "an" : "a"} ${throwing}`,
    ]);
    await ending.says(new RegExp(`^down: ${cause} 1 1 2;`, "m"));
  });

  test(`[${runtime}] graceful() without exceptions: "drain" lets ${cause} end the process as ever`, async () => {
    const ending = await Ending.start({ servers: ["auto"], throwing, cleanups: ["quick"] });
    const client = await ending.inFlight("/fail");
    if (runtime === "bun") {
      // The exception: behind a request of Bun.serve it is written to the console, and nothing else.
      await ending.says(/error: of an? /);
      assertEquals((await deadline((await ending.request("/")).response(), SOON)).body, "hello");
      return;
    }
    await deadline(client.closed, SOON);
    assert(await ending.exit() !== 0);
    assert(!ending.program.output.includes("cleanup: quick;"), ending.program.output);
  });
}

test(`[${runtime}] graceful() names other listeners of a signal, once`, async () => {
  const events: GracefulEvent[] = [];
  function closesOnSignal() {}
  process.once("SIGTERM", closesOnSignal);
  const options: GracefulOptions = {
    signal: AbortSignal.abort(),
    signals: ["SIGTERM"],
    exit: false,
    log: (event) => void events.push(event),
  };
  await graceful([], options);
  await graceful([], options);
  process.off("SIGTERM", closesOnSignal);
  const told = events.filter((event) => event.type === "other-listeners");
  assertEquals(told.map(({ listeners }) => listeners), [[
    { signal: "SIGTERM", name: "closesOnSignal" },
  ]]);
});

test(`[${runtime}] graceful() returns a report that does not change, and cannot be changed`, async () => {
  const { server } = await start(engines[0]!);
  let fail = (_error: Error) => {};
  const report = await graceful(server, {
    signal: AbortSignal.abort(),
    exit: false,
    log: false,
    cleanupTimeout: 20,
    cleanup: () => new Promise((_, reject) => fail = reject),
  });
  assertEquals(report.errors.length, 1);
  fail(new Error("later"));
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(report.errors.length, 1);
  // That of the tests is none of its business.
  process.exitCode = 0;
  for (const value of [report, report.errors, report.servers, ...report.servers]) {
    assert(Object.isFrozen(value));
  }
});

test(`[${runtime}] graceful() refuses hooks that are none`, async () => {
  const refused: [unknown, string][] = [
    [
      { beforeShutdown: 1 },
      "'beforeShutdown' must be a function or an array of functions: current value is 1",
    ],
    [{ onDrain: [1] }, "'onDrain' must be a function or an array of functions: current value is 1"],
    [{ beforeShutdownTimeout: -1 }, "'beforeShutdownTimeout' must be from 0 to 2147483647 ms"],
    [{ exceptions: true }, `'exceptions' must be "drain" or absent: current value is true`],
    [{ shutdownOnMessage: 1 }, "'shutdownOnMessage' must be a string: current value is 1"],
    [{ shutdownOnMessage: "" }, "'shutdownOnMessage' must be a string that is not empty"],
  ];
  for (const [options, message] of refused) {
    // The cast: what a caller without a type checker may get wrong.
    await assertRejects(() => graceful([], options as GracefulOptions), Error, message);
  }
});
