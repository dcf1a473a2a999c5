/** Go's rule for connections on which nothing comes: they are given up once they are 5 s old. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { NEW_CONN_LIFETIME } from "../../src/server/conn_table.ts";
import { DrainNotice } from "../../src/core/drain_notice.ts";
import { checkServe, serveSettings } from "../../src/options/serve.ts";
import { PendingWork } from "../../src/core/pending_work.ts";
import { startDriver } from "../../src/runtime/engines.ts";
import { connect, request } from "../../support/client.ts";
import { until } from "../../support/until.ts";
import { engines, runtime, start } from "../support/fixture.ts";

const policy = { spareIdle: false, ignoreHijacked: false, onlyChanged: false, atOnce: true };

for (const engine of engines) {
  // Deno.serve does not keep a new connection at all: pinned in shutdown.test.ts.
  if (engine === "deno-serve") continue;

  test(`[${runtime}, ${engine}] shutdown() closes a new connection that is 5 s old, by the clock of its polls`, async () => {
    const handler = () => new Response("hello");
    const options = { port: 0, hostname: "127.0.0.1" };
    checkServe(handler, options);
    const scope = { drainNotice: new DrainNotice(), pendingWork: new PendingWork() };
    const settings = serveSettings(options, scope, undefined);
    const driver = await startDriver(engine, handler, settings);
    const [silent, served] = [await connect(driver.addr), await connect(driver.addr)];
    const half = await connect(driver.addr);
    half.write("GET / HTTP/1.1\r\nHo");
    for (let i = 0; i < 3; i++) {
      const client = await connect(driver.addr);
      client.write(request("/", "Connection: close"));
      await client.closed;
    }
    const changed = Promise.withResolvers<void>();
    driver.startDrain(changed.resolve);
    await driver.closeListeners(false);
    driver.endConnections?.();
    const now = performance.now();
    assertEquals(driver.closeIdleConns(now, policy), false);
    assertEquals(driver.closeIdleConns(now + NEW_CONN_LIFETIME - 1_000, policy), false);
    served.write(request("/"));
    assertEquals((await served.response()).body, "hello");
    assertEquals(silent.isOver, false);
    // The kernel, which Bun's driver asks, counts in steps of some milliseconds.
    assertEquals(driver.closeIdleConns(now + NEW_CONN_LIFETIME + 100, policy), false);
    // It withholds the connection from Bun for up to a second.
    await until(() => "the silent connection is open", () => {
      driver.closeIdleConns(now + NEW_CONN_LIFETIME + 100, policy);
      return silent.isOver || undefined;
    });
    assertEquals(await silent.closed, "end");
    assertEquals(silent.received, "");
    await served.closed;
    // What has begun to send is not new any more, but Deno does not tell; Go does not either.
    if (engine === "deno") {
      await half.closed;
    } else {
      half.write("st: test\r\n\r\n");
      assertEquals((await half.response()).body, "hello");
      await half.closed;
    }
    await changed.promise;
    await driver.closeAll();
  });
}

test(`[${runtime}, default engine] shutdown() closes a new connection that is 5 s old, by the clock on the wall`, async () => {
  const fixture = await start(engines[0]!);
  const opened = performance.now();
  const client = await connect(fixture.server.addr);
  await fixture.settled();
  const report = await fixture.server.shutdown();
  assertEquals(await client.closed, "end");
  const age = performance.now() - opened;
  // The timers of a runtime may come a millisecond early, and the kernel counts in steps.
  assert(age > NEW_CONN_LIFETIME - 10, `closed after ${age} ms`);
  assertEquals([report.reason, report.idle], ["drained", 1]);
});
