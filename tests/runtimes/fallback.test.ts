/** The documented next best, where what an engine stands on is not there. */
import { test } from "node:test";
import process from "node:process";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { UpgradeError } from "../../mod.ts";
import { KernelSockets } from "../../src/runtime/linux/kernel_sockets.ts";
import { withoutFFI } from "../support/without_ffi.ts";
import { engines, hasKernelHelp, runtime, start } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

if (runtime !== "node" && hasKernelHelp) {
  test(`[${runtime}] serve() takes the engine node where it cannot replace a listener`, async () => {
    const { canReplaceListener } = KernelSockets.prototype;
    KernelSockets.prototype.canReplaceListener = () => false;
    try {
      const handoff = "inherit";
      const { server } = await start("auto" as "node", { handoff });
      assertEquals([server.engine, server.handoff], ["node", handoff]);
      const client = await connect(server.addr);
      client.write(request("/hello"));
      assertEquals((await deadline(client.response(), SOON)).body, "hello");
      await server.close();
      for (const engine of engines.filter((engine) => engine !== "node")) {
        await assertRejects(() => start(engine, { handoff }), UpgradeError, "epoll");
      }
    } finally {
      KernelSockets.prototype.canReplaceListener = canReplaceListener;
    }
  });
}

if (runtime === "deno") {
  test("[deno] serve() takes Deno.serve without HTTP on a connection of its own", async () => {
    const { Deno } = globalThis as unknown as { Deno: Record<symbol, Record<string, unknown>> };
    const internals = Deno[(Deno as unknown as { internal: symbol }).internal]!;
    const { serveHttpOnConnection } = internals;
    internals.serveHttpOnConnection = undefined;
    try {
      for (const engine of ["auto", "deno"]) {
        const { server } = await start(engine as "deno");
        assertEquals(server.engine, "deno-serve");
        await server.shutdown();
      }
    } finally {
      internals.serveHttpOnConnection = serveHttpOnConnection;
    }
    const { server } = await start("auto" as "deno");
    assertEquals(server.engine, "deno");
  });
}

if (runtime === "bun" && process.platform === "linux") {
  test("[bun, without FFI] shutdown() loses a new connection, which is not accepted", async () => {
    await withoutFFI(async () => {
      const fixture = await start("bun");
      const client = await connect(fixture.server.addr);
      await fixture.settled();
      assertEquals(fixture.server.connections(), []);
      await deadline(fixture.server.shutdown(), SOON);
      client.write(request("/hello"));
      await client.closed;
      assertEquals(client.received, "");
    });
  });

  test("[bun, without FFI] shutdown() answers an active request, and names it in the report", async () => {
    await withoutFFI(async () => {
      const fixture = await start("bun");
      const client = await connect(fixture.server.addr);
      client.write(request("/wait"));
      await fixture.arrived("/wait");
      await assertRejects(() => fixture.server.shutdown({ timeout: 20 }), Error, "GET /wait");
      fixture.open();
      assertEquals((await client.response()).body, "waited");
      await deadline(fixture.server.finished, SOON);
    });
  });

  test("[bun, without FFI] shutdown() does not keep idleGrace, for Bun closes idle and listener at once", async () => {
    await withoutFFI(async () => {
      const fixture = await start("bun");
      const client = await connect(fixture.server.addr);
      client.write(request("/hello"));
      await client.response();
      const done = fixture.server.shutdown({ idleGrace: 5_000 });
      await client.closed;
      assert((await deadline(done, SOON)).duration < 5_000);
    });
  });

  test("[bun, without FFI] serve() refuses backlog, and leaves nothing open", async () => {
    await withoutFFI(async () => {
      await assertRejects(() => start("bun", { backlog: 16 }), TypeError, "'backlog'");
    });
  });
}
