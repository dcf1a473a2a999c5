/** Hono's helpers for each runtime, in an app whose `fetch` goes to serve() as it is. */
import { test } from "node:test";
import type net from "node:net";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { GetConnInfo } from "hono/conninfo";
import { type Engine, serve } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, pem, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

interface Helpers {
  getConnInfo: GetConnInfo;
  serveStatic(options: { root: string }): MiddlewareHandler;
}

/** The helpers that belong to an engine. Those of Deno and Bun load on their own runtime alone. */
async function helpersOf(engine: Engine): Promise<Helpers> {
  if (engine === "bun") return await import("hono/bun");
  if (engine !== "node") return await import("hono/deno");
  const { getConnInfo } = await import("@hono/node-server/conninfo");
  const { serveStatic } = await import("@hono/node-server/serve-static");
  return { getConnInfo, serveStatic };
}

/** What a client gets, and the port that it has. */
async function ask(
  engine: Engine,
  app: { fetch: Hono["fetch"] },
  path: string,
): Promise<{ received: string; body: string; port: number }> {
  await using server = await serve(app.fetch, { port: 0, hostname: "127.0.0.1", engine });
  const client = await connect(server.addr);
  const { localPort: port } = client.socket as net.Socket;
  client.write(request(path, "Connection: close"));
  await deadline(client.closed, SOON);
  const { received } = client;
  return { received, body: received.slice(received.indexOf("\r\n\r\n") + 4), port: port! };
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}] serve() with Hono:`;

  test(`${on} getConnInfo() tells the address of the client`, async () => {
    const { getConnInfo } = await helpersOf(engine);
    const app = new Hono();
    app.get("/", (context: Context) => context.json(getConnInfo(context).remote));
    const { body, port } = await ask(engine, app, "/");
    const remote = JSON.parse(/\{.*\}/.exec(body)![0]);
    assertEquals([remote.address, remote.port], ["127.0.0.1", port]);
  });

  test(`${on} serveStatic() serves a file`, async () => {
    const { serveStatic } = await helpersOf(engine);
    const app = new Hono();
    app.use(serveStatic({ root: fileURLToPath(new URL("../support/", import.meta.url)) }));
    const { received } = await ask(engine, app, "/cert.pem");
    assertMatch(received, /^HTTP\/1\.1 200 /);
    assertEquals(received.includes(pem.cert.trim()), true);
  });
}

test(`[${runtime}, node] serve() with Hono: earlyHints() sends the hints`, async () => {
  const { earlyHints } = await import("@hono/node-server/early-hints");
  const app = new Hono();
  app.use(earlyHints({ link: "</style.css>; rel=preload; as=style" }));
  app.get("/", (context) => context.text("hello"));
  const { received, body } = await ask("node", app, "/");
  assertMatch(received, /^HTTP\/1\.1 103 [^\r]*\r\nlink: <\/style.css>/i);
  assertMatch(body, /hello/);
});
