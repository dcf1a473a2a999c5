/** Exchanges that are more than a request and a response: streams of events, tunnels, trailers, hints. */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import type net from "node:net";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, serve, type Server } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** A stream of server-sent events that ends, or does not, when the server drains. */
function events(draining: AbortSignal, isHeeding: boolean): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      controller.enqueue(encoder.encode("data: first\n\n"));
      if (!isHeeding) return;
      draining.addEventListener("abort", () => {
        controller.enqueue(encoder.encode("event: bye\ndata:\n\n"));
        controller.close();
      });
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;
  const local = { port: 0, hostname: "127.0.0.1", engine } as const;

  test(`${on} shutdown() waits for server-sent events, which end when their handler sees the drain`, async () => {
    const server = await serve((_request, { draining }) => events(draining, true), local);
    const client = await connect(server.addr);
    client.write(request("/"));
    await deadline(client.take(/data: first/), SOON);
    const done = server.shutdown();
    await deadline(client.take(/event: bye\ndata:\n\n/), SOON);
    await deadline(client.closed, SOON);
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });

  test(`${on} close() cuts off server-sent events that do not end by the deadline`, async () => {
    const server = await serve((_request, { draining }) => events(draining, false), local);
    const client = await connect(server.addr);
    client.write(request("/feed"));
    await deadline(client.take(/data: first/), SOON);
    await assertRejects(() => server.shutdown({ timeout: 100 }), Error, "GET /feed");
    await deadline(server.close(), SOON);
    await deadline(client.closed, SOON);
  });
}

/** An adopted server of node:http. */
async function adopted(native: http.Server): Promise<Server> {
  const server = adopt(native);
  native.listen(0, "127.0.0.1");
  await once(native, "listening");
  return server;
}

/** A proxy that is its own other end: what goes into a tunnel comes back. */
function echoProxy(): http.Server {
  const native = http.createServer((_req, res) => void res.end("hello"));
  native.on("connect", (_req, socket: net.Socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    socket.on("data", (chunk) => socket.write(chunk));
    socket.on("end", () => socket.end());
  });
  return native;
}

const CONNECT = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";

test(`[${runtime}] shutdown() waits for a CONNECT tunnel, which is hijacked, and close() ends it`, async () => {
  const server = await adopted(echoProxy());
  const [ending, staying] = [await connect(server.addr), await connect(server.addr)];
  for (const client of [ending, staying]) {
    client.write(CONNECT);
    await deadline(client.take(/Established\r\n\r\n/), SOON);
  }
  assertEquals(server.connections().map(({ state }) => state), ["hijacked", "hijacked"]);
  const incomplete = assertRejects(() => server.shutdown({ timeout: 300 }), Error, "hijacked");
  ending.write("still there?");
  await deadline(ending.take(/still there\?/), SOON);
  ending.socket.end();
  await deadline(ending.closed, SOON);
  await incomplete;
  assertEquals(server.connections().length, 1);
  await deadline(server.close(), SOON);
  await deadline(staying.closed, SOON);
});

test(`[${runtime}] shutdown() refuses a CONNECT during the drain with 503`, async () => {
  const server = await adopted(echoProxy());
  const client = await connect(server.addr);
  client.write(request("/"));
  assertEquals((await deadline(client.response(), SOON)).body, "hello");
  const done = server.shutdown({ idleGrace: SOON });
  client.write(CONNECT);
  assertEquals((await deadline(client.head(), SOON)).status, 503);
  await deadline(client.closed, SOON);
  await deadline(done, SOON);
});

test(`[${runtime}] shutdown() lets a response in flight send early hints and trailers`, async () => {
  const gate = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const server = await adopted(http.createServer(async (_req, res) => {
    arrived.resolve();
    await gate.promise;
    res.writeEarlyHints({ link: "</style.css>; rel=preload" });
    res.setHeader("trailer", "x-sum");
    res.write("body");
    res.addTrailers({ "x-sum": "42" });
    res.end();
  }));
  const client = await connect(server.addr);
  client.write(request("/"));
  await deadline(arrived.promise, SOON);
  const done = server.shutdown();
  gate.resolve();
  const hints = await deadline(client.head(), SOON);
  assertEquals([hints.status, hints.headers["link"]], [103, "</style.css>; rel=preload"]);
  const head = await deadline(client.head(), SOON);
  assertEquals([head.status, head.headers["connection"]?.toLowerCase()], [200, "close"]);
  await deadline(client.closed, SOON);
  assert(/4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n$/i.test(client.received), client.received);
  assertEquals((await deadline(done, SOON)).reason, "drained");
});
