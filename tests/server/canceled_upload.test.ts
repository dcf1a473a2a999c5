/** Uploads that their handler stops reading. */
import { once } from "node:events";
import http2 from "node:http2";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, serve, type Server } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, isOlderDeno, pem, runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 8_000;

/** In ms: half a second for the client, and what it takes to find that over. */
const AT_MOST = 2_500;

/** In bytes: more than what is read ahead of a handler. */
const LARGE = 2_000_000;

const ways: Record<string, (request: Request) => Promise<unknown>> = {
  "cancels the body": async ({ body }) => await body?.cancel(),
  "cancels its reader": async ({ body }) => await body?.getReader().cancel(),
  "leaves the loop over it": async ({ body }) => {
    for await (const _chunk of body ?? []) break;
  },
};

for (const engine of engines) {
  for (const [what, stop] of Object.entries(ways)) {
    test(`[${runtime}, ${engine}] serve() answers an upload whose handler ${what}`, async () => {
      const { server, errors } = await stopping(engine, stop);
      const client = await connect(server.addr);
      client.write(request("POST /", `Content-Length: ${LARGE}`) + "x".repeat(LARGE / 2));
      const { body, headers } = await deadline(client.response(), SOON);
      assertEquals(body, "stopped");
      client.write("x".repeat(LARGE / 2) + request("GET /next"));
      // Bun, and Deno from 2.9.6, take in the rest of such an upload. An older Deno ends the connection
      // without saying so.
      const isLast = engine === "node" || isOlderDeno;
      if (engine === "node") assertEquals(headers["connection"], "close");
      if (isLast) assertEquals([await deadline(client.closed, SOON), client.received], ["end", ""]);
      else assertEquals((await deadline(client.response(), SOON)).body, "next");
      assertEquals(errors, []);
      await server.close();
    });

    // Deno's own server waits for the client of an upload on its own terms.
    if (engine === "deno-serve") continue;
    test(`[${runtime}, ${engine}] shutdown() does not wait for an upload whose handler ${what}`, async () => {
      const { server } = await stopping(engine, stop);
      const client = await connect(server.addr);
      client.write(request("POST /", `Content-Length: ${LARGE}`) + "x".repeat(LARGE / 2));
      assertEquals((await deadline(client.response(), SOON)).body, "stopped");
      const report = await deadline(server.shutdown({ timeout: SOON }), SOON);
      assert(report.duration < AT_MOST, `it took ${report.duration} ms`);
      await deadline(client.closed, SOON);
    });
  }

  test(`[${runtime}, ${engine}] shutdown() does not wait for a canceled upload of HTTP/2`, async () => {
    if (engine === "deno-serve") return;
    const { server } = await stopping(engine, async ({ body }) => await body?.cancel(), pem);
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    session.on("error", () => {});
    const stream = session.request({ ":path": "/", ":method": "POST" });
    stream.on("error", () => {});
    stream.write("x".repeat(1_000));
    const [headers] = await deadline(once(stream, "response"), SOON);
    assertEquals(headers[":status"], 200);
    const report = await deadline(server.shutdown({ timeout: SOON }), SOON);
    assert(report.duration < AT_MOST, `it took ${report.duration} ms`);
    session.destroy();
  });

  test(`[${runtime}, ${engine}] serve() survives handlers that stop reading uploads`, async () => {
    const program = run("canceled_uploads.ts", [engine]);
    assertEquals([await deadline(program.exit, SOON), program.output], [
      0,
      "/limited: 413;\n/canceled: 200;\nsurvived\n",
    ]);
  });

  test(`[${runtime}, ${engine}] shutdown() lets a response send its upload back`, async () => {
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const server = await serve(async ({ body }) => {
      arrived.resolve();
      await gate.promise;
      return new Response(body);
    }, { port: 0, hostname: "127.0.0.1", engine });
    const client = await connect(server.addr);
    client.write(request("POST /", "Content-Length: 5") + "hello");
    await deadline(arrived.promise, SOON);
    const done = server.shutdown({ timeout: SOON });
    gate.resolve();
    assertEquals((await deadline(client.response(), SOON)).body, "hello");
    await deadline(client.closed, SOON);
    await deadline(done, SOON);
  });
}

async function stopping(
  engine: Engine,
  stop: (request: Request) => Promise<unknown>,
  tls: { cert?: string; key?: string } = {},
): Promise<{ server: Server; errors: unknown[] }> {
  const errors: unknown[] = [];
  const server = await serve(async (request) => {
    if (request.method === "GET") return new Response("next");
    await stop(request);
    return new Response("stopped");
  }, {
    ...tls,
    port: 0,
    hostname: "127.0.0.1",
    engine,
    onError(error) {
      errors.push(error);
      return new Response("failed", { status: 500 });
    },
  });
  return { server, errors };
}
