/** What `close()` ends, before, during and after a shutdown, on every engine. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import { ServerClosedError, ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, hasKernelHelp, isOlderDeno, runtime, start } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

const busy: Record<string, string> = {
  "a handler": request("/stuck"),
  "an upload": request("POST /upload", "Content-Length: 10") + "12345",
  "a stream": request("/stuck-stream"),
  "a slow reader": request("/big"),
  "a slow reader of a stream": request("/big-stream"),
};

/** What nothing can cut off: it ends with its client, or with the process. */
function outlivesClose(what: string, engine: string): boolean {
  // An upload that is being read.
  return what === "an upload" &&
    (engine === "deno-serve" || engine === "deno" && isOlderDeno && !hasKernelHelp);
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  for (const [what, bytes] of Object.entries(busy)) {
    const path = bytes.split(" ")[1]!;

    test(`${on} close() ends ${what} after a failed shutdown`, async () => {
      const fixture = await start(engine);
      const client = await connect(fixture.server.addr, { paused: what.includes("reader") });
      client.write(bytes);
      await fixture.arrived(path);
      await fixture.settled();
      // From 2.9.6 on the graceful stop of Deno.serve drops an upload, but does not end.
      const isDropped = what === "an upload" && engine === "deno-serve" && !isOlderDeno;
      await assertRejects(
        () => fixture.server.shutdown({ timeout: 20 }),
        ShutdownIncompleteError,
        isDropped ? "0 connections" : path,
      );
      await deadline(fixture.server.close(), SOON);
      assertEquals(fixture.server.state, "closed");
      assertEquals(fixture.server.connections(), []);
      if (outlivesClose(what, engine)) {
        await delay(100);
        assertEquals(client.isOver, false, "this exception is no more: take it off the table");
        client.vanish();
      }
      client.socket.resume();
      // One time in ten Deno.serve leaves the connection of a body that was cut off open.
      if (what.startsWith("a slow reader") && engine === "deno-serve") client.vanish();
      await deadline(client.closed, SOON);
      await deadline(fixture.server.finished, SOON);
    });
  }

  test(`${on} close() ends everything at once, and the shutdown that waits`, async () => {
    const fixture = await start(engine);
    const [idle, stuck] = [await connect(fixture.server.addr), await connect(fixture.server.addr)];
    idle.write(request("/hello"));
    await idle.response();
    stuck.write(request("/stuck"));
    await fixture.arrived("/stuck");
    const waiting = fixture.server.shutdown();
    await deadline(fixture.server.close(), SOON);
    assertEquals((await deadline(waiting, SOON)).reason, "closed");
    await Promise.all([idle.closed, stuck.closed]);
  });

  test(`${on} close() leaves a server alone that has the port of another address`, async () => {
    const one = await start(engine);
    const { addr } = one.server;
    assert(addr.transport === "tcp");
    const other = await start(engine, { hostname: "::1", port: addr.port });
    const client = await connect(other.server.addr);
    client.write(request("/wait"));
    await other.arrived("/wait");
    assertEquals(one.server.connections(), []);
    await one.server.close();
    other.open();
    assertEquals((await deadline(client.response(), SOON)).body, "waited");
    await deadline(other.server.shutdown(), SOON);
  });

  test(`${on} close() may come without a shutdown, twice, and before one`, async () => {
    const fixture = await start(engine);
    const stuck = await connect(fixture.server.addr);
    stuck.write(request("/stuck"));
    await fixture.arrived("/stuck");
    await Promise.all([fixture.server.close(), fixture.server.close()]);
    await stuck.closed;
    await fixture.server.close();
    assertEquals((await fixture.server.shutdown({ timeout: 0 })).reason, "closed");
    assert(fixture.server.draining.aborted);
    await assertRejects(() => connect(fixture.server.addr), Error);
  });

  test(`${on} shutdown() after a complete one, and close() after it, are no errors`, async () => {
    const fixture = await start(engine);
    await fixture.server.shutdown();
    assertEquals((await fixture.server.shutdown()).reason, "drained");
    await fixture.server.close();
    assertEquals(fixture.server.state, "closed");
  });

  test(`${on} onShutdown() hooks run once, when the drain starts, and a failing one stops nothing`, async () => {
    const fixture = await start(engine);
    const called: string[] = [];
    const { error } = console;
    console.error = (...values: unknown[]) => called.push(`reported ${values[0]}`);
    try {
      fixture.server.onShutdown(() => {
        called.push(`first, ${fixture.server.state}`);
        throw new Error("of a hook");
      });
      fixture.server.onShutdown(() => called.push("second"));
      // A hook that never ends is not waited for.
      fixture.server.onShutdown(() => new Promise(() => {}));
      const client = await connect(fixture.server.addr);
      client.write(request("/wait"));
      await fixture.arrived("/wait");
      const done = fixture.server.shutdown();
      fixture.open();
      await done;
      await fixture.server.shutdown();
    } finally {
      console.error = error;
    }
    assertEquals(called, ["first, draining", "second", "reported Error: of a hook"]);
    let refused: unknown;
    try {
      fixture.server.onShutdown(() => {});
    } catch (error) {
      refused = error;
    }
    assert(refused instanceof ServerClosedError);
    assertEquals(refused.name, "ServerClosedError");
  });

  test(`${on} shutdown() is called at the end of an await using`, async () => {
    const { server } = await start(engine);
    // Node 22 does not know the syntax: this is what it calls.
    await server[Symbol.asyncDispose]();
    assertEquals(server.state, "closed");
  });

  test(`${on} serve() closes when its signal aborts, and refuses to start with one that has aborted`, async () => {
    const controller = new AbortController();
    const fixture = await start(engine, { signal: controller.signal });
    const stuck = await connect(fixture.server.addr);
    stuck.write(request("/stuck"));
    await fixture.arrived("/stuck");
    controller.abort();
    await deadline(fixture.server.finished, SOON);
    await stuck.closed;
    const late = new AbortController();
    late.abort(new Error("too late"));
    await assertRejects(() => start(engine, { signal: late.signal }), Error, "too late");
  });

  test(`${on} serve() leaves nothing open when its signal aborts at the start`, async () => {
    const controller = new AbortController();
    let port = 0;
    const starting = start(engine, {
      signal: controller.signal,
      onListen: (addr) => port = addr.transport === "tcp" ? addr.port : 0,
    });
    controller.abort(new Error("changed my mind"));
    await assertRejects(() => starting, Error, "changed my mind");
    assertEquals(port, 0, "onListen is not called");
  });

  test(`${on} serve() has onError answer what a handler throws`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/throw"));
    assertEquals((await client.response()).status, 500);
    client.write(request("/reject"));
    await fixture.arrived("/reject");
    const done = fixture.server.shutdown();
    fixture.open();
    const response = await client.response();
    assertEquals([response.status, response.body], [500, "failed"]);
    assertEquals(response.headers["connection"]?.toLowerCase(), "close");
    await deadline(done, SOON);
    assertEquals(fixture.errors.map(String), [
      "Error: thrown by /throw",
      "Error: rejected by /reject",
    ]);
  });

  test(`${on} serve() cuts the connection of a body that fails while it is sent`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/throw-streaming"));
    await client.take(/first /);
    const done = fixture.server.shutdown();
    fixture.open();
    await client.closed;
    assert(!client.received.includes("0\r\n\r\n"), client.received);
    await deadline(done, SOON);
    // Bun ends the connection, but tells nobody.
    assertEquals(
      fixture.errors.map(String),
      engine === "bun" ? [] : ["Error: thrown while streaming"],
    );
  });
}
