/** The phases of a process's end, in real processes. */
import { test } from "node:test";
import { createServer } from "node:http";
import process from "node:process";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import {
  adopt,
  type Engine,
  graceful,
  type GracefulEvent,
  type GracefulOptions,
  type Server,
} from "../../mod.ts";
import { endOfProcess, GracefulCall } from "../../src/graceful/end_of_process.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { Ending, SOON } from "../support/ending.ts";
import { engines, runtime, start } from "../support/fixture.ts";

const [fastest] = engines;
/** In ms: longer than any test. */
const LONG = 60_000;

/** The exception: `Deno.serve` sends the header, and does not close the connection behind it. */
function leavesClosingToClients(engine: Engine): boolean {
  return engine === "deno-serve";
}

async function assertServes(client: RawClient): Promise<void> {
  client.write(request("/"));
  assertEquals((await deadline(client.response(), SOON)).body, "hello");
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} graceful() serves in the lame duck, and each response is the last of its connection`, async () => {
    const ending = await Ending.start({ servers: [engine], graceful: { drainDelay: LONG } });
    const idle = await ending.request("/");
    assert((await idle.response()).headers["connection"]?.toLowerCase() !== "close");
    const active = await ending.inFlight("/gate");
    ending.program.signal("SIGTERM");
    assertEquals((await ending.event("ending")).drainDelay, LONG);
    const late = await connect(ending.addrs[0]!);
    late.write(request("/open"));
    idle.write(request("/"));
    for (const [client, body] of [[late, "/open"], [active, "/gate"], [idle, "hello"]] as const) {
      const response = await deadline(client.response(), SOON);
      assertEquals([response.status, response.body], [200, body]);
      assertEquals(response.headers["connection"]?.toLowerCase(), "close");
      if (leavesClosingToClients(engine)) await assertServes(client);
      else await deadline(client.closed, SOON);
    }
    assert(!ending.program.output.includes('"draining"'), ending.program.output);
    assertEquals(await ending.force("SIGTERM"), 128 + 15);
  });

  test(`${on} graceful() closes the listeners after the lame duck, and answers what is in flight`, async () => {
    const ending = await Ending.start({ servers: [engine], graceful: { drainDelay: 300 } });
    const [idle, active] = [await ending.request("/"), await ending.inFlight("/drain")];
    await idle.response();
    ending.program.signal("SIGTERM");
    const { elapsed, connections } = await ending.event("draining");
    assert(elapsed >= 299, `${elapsed}`);
    assertEquals(connections.filter(({ path }) => path === "/drain").length, 1);
    const response = await deadline(active.response(), SOON);
    assertEquals([response.body, response.headers["connection"]?.toLowerCase()], [
      "/drain",
      "close",
    ]);
    await deadline(Promise.all([idle.closed, active.closed]), SOON);
    assertEquals(await ending.exit(), 0);
    assertEquals(
      ending.events.map(({ type }) => type),
      ["ending", "draining", "drained", "ended"],
    );
  });

  test(`${on} graceful() names a stuck handler, a stuck cleanup and a leaked timer, and ends`, async () => {
    const ending = await Ending.start({
      servers: [engine],
      graceful: { timeout: 200, cleanupTimeout: 200, exit: 200 },
      cleanups: ["quick", "stuck"],
      log: "default",
    });
    await ending.inFlight("/leak");
    const start = performance.now();
    ending.program.signal("SIGTERM");
    assertEquals(await ending.exit(), 1);
    const took = performance.now() - start;
    const { output } = ending.program;
    assert(took <= 200 + 200 + 200 + 1_000, `It took ${took} ms:\n${output}`);
    assertStringIncludes(output, "the deadline has passed, closing by force: GET /leak for ");
    assertStringIncludes(output, "cleanup stuck failed: ");
    assertStringIncludes(output, "not done after the 200 ms of cleanupTimeout");
    assertStringIncludes(output, "cleanup: quick;");
    assertStringIncludes(
      output,
      "a timer (Timeout) still keeps the process alive, ending it with exit code 1",
    );
  });
}

test(`[${runtime}] graceful() tells once a second what it waits for`, async () => {
  const ending = await Ending.start({ servers: ["auto"], graceful: { timeout: LONG } });
  const client = await ending.inFlight("/gate");
  ending.program.signal("SIGTERM");
  const { left, connections: [connection] } = await ending.event("waiting");
  assert(left > LONG - 5_000 && left < LONG, `${left}`);
  assertEquals([connection?.method, connection?.path], ["GET", "/gate"]);
  const { age, requestAge } = connection!;
  // On Bun the engine knows no other age than that of the request.
  assert(requestAge! >= 900 && requestAge! <= age, `${requestAge} of ${age}`);
  client.vanish();
  await ending.exit();
});

/** The phases of an end, and the engines that they are tried on: the drain is the engine's. */
const phases = [
  ["the lame duck", ["auto"]],
  ["the drain", engines],
  ["the cleanup", ["auto"]],
] as const;

for (const [during, tried] of phases) {
  for (const engine of tried) {
    test(`[${runtime}, ${engine}] graceful() ends at once at a second signal in ${during}`, async () => {
      const isIn = (phase: string) => during === phase;
      const ending = await Ending.start({
        servers: [engine],
        graceful: { drainDelay: isIn("the lame duck") ? LONG : 0, cleanupTimeout: LONG },
        cleanups: isIn("the cleanup") ? ["quick", "stuck"] : ["quick"],
      });
      const client = await ending.inFlight(isIn("the cleanup") ? "/drain" : "/stuck");
      ending.program.signal("SIGINT");
      if (isIn("the lame duck")) await ending.event("ending");
      else if (isIn("the drain")) await ending.event("draining");
      else await ending.says(/cleanup: stuck;/);
      assertEquals(await ending.force("SIGTERM"), 128 + 15);
      await deadline(client.closed, SOON);
      const { signal, exitCode } = await ending.event("interrupted");
      assertEquals([signal, exitCode], ["SIGTERM", 143]);
      assert(!ending.program.output.includes("cleanup: quick"), ending.program.output);
    });
  }
}

test(`[${runtime}] graceful() runs cleanup functions backwards, and one that fails does not stop the next`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    cleanups: ["quick", "failing", "nameless", "slow"],
  });
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 1);
  const { output } = ending.program;
  const failed = ending.events.filter((event) => event.type === "failed");
  assertEquals(
    failed.map(({ what, error }) => `${what}: ${error}`),
    [
      "cleanup 3 of 4: Error: of a nameless cleanup",
      "cleanup failing: Error: of a cleanup",
    ],
  );
  assert(/cleanup: slow;[^]*nameless[^]*failing[^]*cleanup: quick;/.test(output), output);
  assertStringIncludes(output, "down: SIGTERM 1 1 2;");
});

test(`[${runtime}] graceful() starts what follows a stuck cleanup, and does not wait for it`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { cleanupTimeout: 200 },
    cleanups: ["slow", "quick", "stuck"],
  });
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 1);
  const { report } = await ending.event("ended");
  const failed = ending.events.filter((event) => event.type === "failed");
  assertEquals(failed.map(({ what }) => what), ["cleanup stuck", "cleanup slow"]);
  assertEquals(report.exitCode, 1);
  // The process was not kept alive by anything, and still the slow one has had its time.
  const after = /cleanup: stuck;[^]*cleanup: quick;[^]*down: SIGTERM 1 1 2;\ncleanup: slow;/;
  assert(after.test(ending.program.stdout), ending.program.output);
});

test(`[${runtime}] graceful() called twice does not end the process when the first call is done`, async () => {
  const ending = await Ending.start({
    servers: ["auto", "auto"],
    graceful: { timeout: 100, exit: 0 },
    apart: LONG,
  });
  const [stuck, slow] = [
    await ending.inFlight("/stuck"),
    await ending.inFlight("/gate", ending.addrs[1]),
  ];
  ending.program.signal("SIGTERM");
  await ending.says(/^down: SIGTERM 1 1 0;/m);
  await deadline(stuck.closed, SOON);
  // Of the call that is not done: a second later the process is still there.
  await ending.event("waiting");
  slow.vanish();
  await ending.says(/^apart: 0;/m);
  // The one that had to force has the last word.
  assertEquals(await ending.exit(), 1);
});

test(`[${runtime}] graceful() called twice is not forced by a signal that starts the other end`, async () => {
  const ending = await Ending.start({
    servers: ["auto", "auto"],
    graceful: { cleanupTimeout: LONG },
    cleanups: ["stuck"],
    apart: LONG,
  });
  const slow = await ending.inFlight("/gate", ending.addrs[1]);
  await ending.inFlight("/close");
  await ending.says(/cleanup: stuck;/);
  ending.program.signal("SIGTERM");
  await ending.says(/"type":"draining","cause":"SIGTERM"/);
  slow.vanish();
  await ending.says(/^apart: 0;/m);
  assertEquals(await ending.force("SIGTERM"), 128 + 15);
});

test(`[${runtime}] graceful() ends the lame duck, and the process, when its server closes on its own`, async () => {
  const ending = await Ending.start({ servers: ["auto"], graceful: { drainDelay: LONG } });
  ending.program.signal("SIGTERM");
  await ending.event("ending");
  const client = await ending.inFlight("/close");
  await deadline(client.closed, SOON);
  assertEquals(await ending.exit(), 0);

  const finishing = await Ending.start({ servers: ["auto"], graceful: { drainDelay: LONG } });
  await finishing.inFlight("/close");
  assertEquals(await finishing.exit(), 0);
  await finishing.says(/^down: finished 0 0 0;/m);
});

test(`[${runtime}] graceful() is forced by the first signal when none started it`, async () => {
  const ending = await Ending.start({ servers: ["auto", "auto"] });
  await ending.inFlight("/stuck", ending.addrs[1]);
  await ending.inFlight("/close");
  assertEquals((await ending.event("draining")).cause, "finished");
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 128 + 15);
});

test(`[${runtime}] graceful() ends with its signal, or with its servers`, async () => {
  const controller = new AbortController();
  const servers = [(await start(fastest!)).server, (await start("node")).server];
  const done = graceful(servers, { signal: controller.signal, exit: false });
  controller.abort();
  const report = await deadline(done, SOON);
  assertEquals([report.cause, report.servers.length, report.exitCode], ["aborted", 2, 0]);
  assertEquals(servers.map(({ state }) => state), ["closed", "closed"]);

  const { server } = await start(fastest!);
  const ending = graceful(server, { exit: false });
  await server.close();
  assertEquals((await deadline(ending, SOON)).cause, "finished");
});

test(`[${runtime}] graceful() ends at once when its server has finished already`, async () => {
  const { server } = await start(fastest!);
  await server.close();
  const events: GracefulEvent[] = [];
  let isCleaned = false;
  const report = await deadline(
    graceful(server, {
      drainDelay: LONG,
      exit: false,
      log: (event) => void events.push(event),
      cleanup: () => isCleaned = true,
    }),
    SOON,
  );
  assertEquals([report.cause, report.exitCode, isCleaned], ["finished", 0, true]);
  assertEquals(events.map(({ type }) => type), ["ending", "draining", "drained", "ended"]);
  const [ending] = events;
  assertEquals(ending?.type === "ending" && ending.drainDelay, 0);
  assertEquals(endOfProcess(), undefined, "this process lives on");
});

test(`[${runtime}] graceful() ends when the owner closes an adopted server`, async () => {
  const native = createServer((_request, response) => response.end("hello"));
  await new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
  const ending = graceful(native, { exit: false, log: false });
  assertEquals(adopt(native), adopt(native));
  native.close();
  assertEquals((await deadline(ending, SOON)).cause, "finished");
  assertEquals(adopt(native).state, "closed");
});

test(`[${runtime}] endOfProcess() is decided when each call has decided it`, () => {
  const calls = [new GracefulCall(), new GracefulCall()] as const;
  calls[0].decide("finished");
  assertEquals(endOfProcess(), undefined);
  calls[1].decide("SIGTERM");
  assertEquals(endOfProcess(), "finished");
  for (const call of calls) call.done(true);
  assertEquals(endOfProcess(), undefined);
});

test(`[${runtime}] graceful() called twice for one server ends both calls`, async () => {
  const { server } = await start(fastest!);
  const controller = new AbortController();
  const options = { signal: controller.signal, exit: false, log: false } as const;
  const calls = [graceful(server, options), graceful([server, server], options)];
  controller.abort();
  const reports = await deadline(Promise.all(calls), SOON);
  assertEquals(reports.map(({ exitCode, servers }) => [exitCode, servers.length]), [[0, 1], [
    0,
    1,
  ]]);
});

for (const hijacked of ["wait", "ignore"] as const) {
  test(`[${runtime}] graceful() treats hijacked connections as hijacked: "${hijacked}" says`, async () => {
    const ending = await Ending.start({
      servers: ["adopted"],
      graceful: { hijacked, timeout: hijacked === "wait" ? 300 : LONG, exit: LONG },
    });
    const client = await connect(ending.addrs[0]!);
    client.write(request("/", "Connection: Upgrade", "Upgrade: x"));
    await client.head();
    ending.program.signal("SIGTERM");
    await deadline(client.closed, SOON);
    assertEquals(await ending.exit(), hijacked === "wait" ? 1 : 0);
    const forced = ending.events.find((event) => event.type === "forced");
    assertEquals(
      forced?.connections.map(({ state }) => state),
      hijacked === "wait" ? ["hijacked"] : undefined,
    );
  });
}

for (const log of ["failing", "rejecting"] as const) {
  test(`[${runtime}] graceful() ends in order with a log that is ${log}`, async () => {
    const ending = await Ending.start({ servers: ["auto"], log, cleanups: ["quick"] });
    ending.program.signal("SIGTERM");
    assertEquals(await ending.exit(), 0);
    assertStringIncludes(ending.program.output, "rror: of a log");
    assertStringIncludes(ending.program.output, "cleanup: quick;");
  });
}

test(`[${runtime}] graceful() exits 1 when forced, though a cleanup ends the process`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { timeout: 100 },
    cleanups: ["exiting"],
  });
  await ending.inFlight("/stuck");
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 1);
});

test(`[${runtime}] graceful() takes a signal that is named twice as one`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { signals: ["SIGTERM", "SIGTERM"] },
  });
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 0);
});

test(`[${runtime}] graceful() without a server is a lame duck all the same`, async () => {
  const events: GracefulEvent[] = [];
  const report = await graceful([], {
    signal: AbortSignal.abort(),
    drainDelay: 50,
    exit: false,
    log: (event) => events.push(event),
  });
  const draining = events.find(({ type }) => type === "draining");
  assert(draining!.elapsed >= 49, `${draining!.elapsed}`);
  assertEquals(report.servers, []);
});

test(`[${runtime}] graceful() refuses bad options at the call`, async () => {
  const { server } = await start(fastest!);
  const refused: [unknown, string][] = [
    [{ timeout: -1 }, "'timeout'"],
    [{ signal: "SIGTERM" }, "'signal'"],
    [{ exit: -1 }, "'exit'"],
    [{ signals: ["SIGNONE"] }, "SIGNONE"],
    [{ cleanup: "db" }, "'cleanup'"],
    [{ drainDelay: -1 }, "'drainDelay' must be from 0 to 2147483647 ms: current value is -1"],
    [{ cleanupTimeout: "5" }, "'cleanupTimeout' must be a number of milliseconds"],
    [
      { hijacked: "close" },
      `'hijacked' must be "wait" or "ignore", or an object of close, reason and within: current value is "close"`,
    ],
    [
      { hijacked: { close: 1005 } },
      "call graceful() as 'hijacked.close' must be 1000, 1001, 1003,",
    ],
    [{ exit: true }, "'exit' must be false or a number of milliseconds: current value is true"],
    [{ timeout: 500, idleGrace: 500 }, "'idleGrace' must be less than 'timeout' (500 ms)"],
    [{ signals: ["toString"] }, "signals that a process can listen to"],
    [{ log: true }, "'log' must be false or a function: current value is true"],
    [{ signals: "SIGTERM" }, "'signals' must be an array of signal names"],
    [{ signals: ["SIGKILL"] }, "signals that a process can listen to on this system"],
    [{ upgradeOn: "SIGSTOP" }, "'upgradeOn' must be signals that a process can listen to"],
    [{ upgradeOn: "HUP" }, 'on this system, such as "SIGHUP": current value is "HUP"'],
    [
      { cleanup: [() => {}, 1] },
      "'cleanup' must be a function or an array of functions: current value is 1",
    ],
  ];
  for (const [options, message] of refused) {
    // The cast: what a caller without a type checker may get wrong.
    await assertRejects(() => graceful(server, options as GracefulOptions), Error, message);
  }
  for (const servers of [undefined, {}, [server, Promise.resolve(server)]]) {
    // The cast: as above.
    const message = "Cannot call graceful() as 'servers' must be a server of serve()";
    await assertRejects(() => graceful(servers as unknown as Server), TypeError, message);
  }
  assertEquals(server.state, "serving");
});

if (runtime === "deno") {
  test("[deno] graceful() refuses a signal that Deno lets nobody listen to, and keeps none", async () => {
    const { server } = await start(fastest!);
    await assertRejects(
      () => graceful(server, { signals: ["SIGTERM", "SIGSEGV"] }),
      TypeError,
      `'signals' must be signals that this runtime lets a process listen to: current value is "SIGSEGV"`,
    );
    assertEquals(process.listenerCount("SIGTERM"), 0);
  });
}
