/** What user code that hears of a drain may do: anything, and the drain goes on. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { createServer } from "node:http";
import { adopt, serve, type Server, serveTcp, ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms: far above what anything here takes. */
const SOON = 10_000;

/** Resolves when what was sent before has reached the server: it accepts in order. */
async function settled(server: Server): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const client = await connect(server.addr);
    client.write(request("/", "Connection: close"));
    await client.closed;
  }
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  for (const way of ["listener", "object", "property", "async"] as const) {
    test(`${on} draining reports what a listener throws (${way})`, async () => {
      const program = run("failing_listener.ts", [JSON.stringify({ engine, way })]);
      const port = Number(await deadline(program.says(/^port: (\d+)/m), SOON));
      const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
      const client = await connect(addr);
      client.write(request("/"));
      await deadline(program.says(/^arrived;/m), SOON);
      program.signal("SIGTERM");
      assertEquals((await client.response()).body, "answered");
      assertEquals(await deadline(program.exit, SOON), 0);
      assert(program.output.includes("thrown by a listener of the request"), program.output);
      assert(program.output.includes("thrown by a listener of the server"), program.output);
    });
  }

  test(`${on} draining is not told to a request that is over`, async () => {
    let told = 0;
    const server = await serve((request, { draining }) => {
      draining.addEventListener("abort", () => told++);
      return new URL(request.url).pathname === "/stream"
        ? new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode("first")),
          }),
        )
        : new Response("hello");
    }, { port: 0, hostname: "127.0.0.1", engine });
    const client = await connect(server.addr);
    client.write(request("/"));
    await client.response();
    const streaming = await connect(server.addr);
    streaming.write(request("/stream"));
    await streaming.take(/first/);
    streaming.vanish();
    while (server.connections().some(({ path }) => path === "/stream")) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await deadline(server.shutdown(), SOON);
    assertEquals(told, 0);
  });

  // Deno.serve drops the request, which shutdown.test.ts pins.
  if (engine === "deno-serve") continue;

  test(`${on} draining has aborted for a request that comes during the drain`, async () => {
    const server = await serve((_request, { draining }) => new Response(String(draining.aborted)), {
      port: 0,
      hostname: "127.0.0.1",
      engine,
    });
    const client = await connect(server.addr);
    client.write("GET / HTTP/1.1\r\n");
    await settled(server);
    const done = server.shutdown();
    client.write("Host: test\r\n\r\n");
    assertEquals((await client.response()).body, "true");
    await deadline(done, SOON);
  });

  test(`${on} waitUntil() has a shutdown wait for work behind the response`, async () => {
    const work = Promise.withResolvers<void>();
    const server = await serve((_request, { waitUntil }) => {
      waitUntil(work.promise);
      return new Response("hello");
    }, { port: 0, hostname: "127.0.0.1", engine });
    const client = await connect(server.addr);
    client.write(request("/report?x", "Connection: close"));
    await client.response();
    await client.closed;
    const error = await assertRejects(
      () => server.shutdown({ timeout: 50 }),
      ShutdownIncompleteError,
    );
    const { state, method, path } = error.report.connections[0]!;
    assertEquals([state, method, path], ["active", "GET", "/report"]);
    const done = server.shutdown({ pollInterval: 3_600_000 });
    work.resolve();
    const report = await deadline(done, SOON);
    assertEquals([report.reason, report.connections], ["drained", []]);
  });

  test(`${on} close() does not wait for waitUntil()`, async () => {
    const server = await serve((_request, { waitUntil }) => {
      waitUntil(new Promise(() => {}));
      return new Response("hello");
    }, { port: 0, hostname: "127.0.0.1", engine });
    const client = await connect(server.addr);
    client.write(request("/"));
    await client.response();
    await deadline(server.close(), SOON);
    assertEquals(server.connections(), []);
  });
}

test(`[${runtime}] draining of serveTcp() reports what a listener throws`, async () => {
  const server = await serveTcp(async ({ readable, draining }) => {
    draining.addEventListener("abort", () => {
      throw new Error("thrown by a listener of a connection");
    });
    await readable.cancel();
  }, { port: 0, hostname: "127.0.0.1" });
  const client = await connect(server.addr);
  client.write("x");
  await deadline(server.shutdown({ timeout: 5_000 }), SOON);
  await client.closed;
});

test(`[${runtime}] waitUntil() takes work of a server that has never listened`, async () => {
  const server = adopt(createServer());
  const work = Promise.withResolvers<void>();
  server.waitUntil(work.promise);
  assertEquals(server.connections().map(({ state }) => state), ["active"]);
  const done = server.shutdown();
  work.resolve();
  await deadline(done, SOON);
});

test(`[${runtime}] waitUntil() has an adopted server wait`, async () => {
  const native = createServer((_request, response) => response.end("hello"));
  await new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
  const server = adopt(native);
  const work = Promise.withResolvers<void>();
  server.waitUntil(work.promise);
  assertEquals(server.connections().map(({ state }) => state), ["active"]);
  let isDone = false;
  const done = server.shutdown().then(() => isDone = true);
  while (native.listening) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(isDone, false);
  work.resolve();
  await deadline(done, SOON);
});
