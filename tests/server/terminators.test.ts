/**
 * What users of `http-terminator` and `stoppable` expect, as the tests of these describe it, of an
 * adopted server. Where we differ is in the README.
 */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import type net from "node:net";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type Server, ShutdownIncompleteError } from "../../mod.ts";
import { connect, type ConnectOptions, type RawClient, request } from "../../support/client.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

interface Scheme {
  create(handler: http.RequestListener): http.Server | https.Server;
  readonly how: ConnectOptions;
}

const schemes: Record<string, Scheme> = {
  http: { create: (handler) => http.createServer(handler), how: {} },
  https: { create: (handler) => https.createServer(pem, handler), how: { alpn: "http/1.1" } },
};

/** Starts it, and adopts it. */
async function started(
  { create }: Scheme,
  handler: http.RequestListener,
): Promise<{ native: net.Server; server: Server; closed: Promise<unknown> }> {
  const native = create(handler);
  const server = adopt(native);
  native.listen(0, "127.0.0.1");
  await once(native, "listening");
  return { native, server, closed: once(native, "close") };
}

async function answer(client: RawClient): Promise<{ connection: string; body: string }> {
  const { headers, body } = await deadline(client.response(), SOON);
  return { connection: headers["connection"]?.toLowerCase() ?? "", body };
}

/** How long a function took, in ms. */
async function time(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await deadline(run(), SOON);
  return performance.now() - start;
}

for (const [name, scheme] of Object.entries(schemes)) {
  const on = `[${runtime}, ${name}]`;
  const { how } = scheme;

  test(`${on} shutdown() ends a server with no connections, which emits "close"`, async () => {
    const { native, server, closed } = await started(scheme, () => {});
    await deadline(server.shutdown(), SOON);
    await deadline(closed, SOON);
    assertEquals(native.listening, false);
  });

  for (const keptAlive of [true, false]) {
    const kind = keptAlive ? "with" : "without";
    test(`${on} shutdown() refuses new connections and closes gracefully, ${kind} keep-alive`, async () => {
      const { server, closed } = await started(scheme, (_req, res) => void res.end("hello"));
      const client = await connect(server.addr, how);
      client.write(request("/", ...(keptAlive ? [] : ["Connection: close"])));
      assertEquals((await answer(client)).body, "hello");
      const done = server.shutdown();
      await assertRejects(() => connect(server.addr, how), Error, "ECONN");
      const report = await deadline(done, SOON);
      assertEquals([report.reason, report.forced], ["drained", 0]);
      await deadline(closed, SOON);
      await deadline(client.closed, SOON);
      assertEquals(server.connections(), []);
    });
  }

  test(`${on} shutdown() waits for hanging requests until the deadline, and close() ends them`, async () => {
    const { server, closed } = await started(scheme, (_req, res) => {
      res.writeHead(200);
      res.write("hi");
    });
    const clients = [await connect(server.addr, how), await connect(server.addr, how)];
    for (const client of clients) {
      client.write(request("/"));
      await deadline(client.take(/hi/), SOON);
    }
    const took = await time(() =>
      assertRejects(() => server.shutdown({ timeout: 200 }), ShutdownIncompleteError)
    );
    assert(took >= 199, `${took}`);
    assertEquals(server.connections().map(({ state }) => state), ["active", "active"]);
    await deadline(server.close(), SOON);
    await deadline(Promise.all([closed, ...clients.map((client) => client.closed)]), SOON);
    assertEquals(server.connections(), []);
  });

  test(`${on} shutdown() says "Connection: close" to ongoing requests, and closes right after them`, async () => {
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const { server, closed } = await started(scheme, async (_req, res) => {
      arrived.resolve();
      await gate.promise;
      res.end("foo");
    });
    const client = await connect(server.addr, how);
    client.write(request("/"));
    await deadline(arrived.promise, SOON);
    // A poll comes only after the end of the test: it is the response that wakes it.
    const done = server.shutdown({ pollInterval: 3_600_000 });
    gate.resolve();
    assertEquals(await answer(client), { connection: "close", body: "foo" });
    await deadline(Promise.all([done, closed, client.closed]), SOON);
  });

  test(`${on} shutdown() answers in full what had its head sent, and with idleGrace the next request`, async () => {
    const gate = Promise.withResolvers<void>();
    let count = 0;
    const { server } = await started(scheme, async (_req, res) => {
      if (++count === 2) return void res.end("baz");
      res.write("foo");
      await gate.promise;
      res.end("bar");
    });
    const client = await connect(server.addr, how);
    client.write(request("/"));
    const head = await deadline(client.head(), SOON);
    assert(head.headers["connection"]?.toLowerCase() !== "close");
    const done = server.shutdown({ idleGrace: SOON });
    gate.resolve();
    await deadline(client.take(/bar\r\n0\r\n\r\n/), SOON);
    client.write(request("/"));
    assertEquals(await answer(client), { connection: "close", body: "baz" });
    await deadline(Promise.all([done, client.closed]), SOON);
  });

  test(`${on} connections() forgets a connection that is gone`, async () => {
    const { server, native } = await started(scheme, (_req, res) => void res.end("foo"));
    const client = await connect(server.addr, how);
    client.write(request("/", "Connection: close"));
    await answer(client);
    await deadline(client.closed, SOON);
    // Its last event may come after that of the client.
    while (server.connections().length > 0) await new Promise((resolve) => setImmediate(resolve));
    assertEquals(native.listening, true);
    await deadline(server.shutdown(), SOON);
  });
}
