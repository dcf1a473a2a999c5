/** Servers of node:http2 that somebody else made, with both ways to answer. */
import { test } from "node:test";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { adopt } from "../../mod.ts";
import { Gate, listening } from "../support/adopted.ts";
import { pem, runtime } from "../support/fixture.ts";
import { Http2Client } from "../support/http2_client.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** In bytes: more than the buffers of a connection take together, and less than is slow to collect. */
const LARGE = 12 * 1024 * 1024;

/** The two ways to answer with node:http2. */
const handlers: Record<string, (native: net.Server, gate: Gate) => void> = {
  request: (native, gate) =>
    native.on("request", async (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
      res.end(await gate.answer(req.url));
    }),
  stream: (native, gate) =>
    native.on("stream", async (stream: http2.ServerHttp2Stream, headers) => {
      const text = await gate.answer(headers[":path"]);
      stream.respond({ ":status": 200 });
      stream.end(text);
    }),
};

interface Client {
  readonly session: http2.ClientHttp2Session;
  readonly closed: Promise<unknown>;
}

function connect(native: net.Server, secure: boolean): Client {
  // The cast: one that listens on TCP has an AddressInfo.
  const { port } = native.address() as net.AddressInfo;
  const url = `${secure ? "https" : "http"}://127.0.0.1:${port}`;
  const session = http2.connect(url, { rejectUnauthorized: false });
  return { session, closed: once(session, "close") };
}

/** What is answered; without a path, to a CONNECT. */
function get({ session }: Client, path: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      path === undefined ? { ":method": "CONNECT", ":authority": "test:1" } : { ":path": path },
    );
    // Of a tunnel the client's side is open until then.
    stream.end();
    let body = "";
    stream.on("data", (chunk) => body += chunk);
    stream.on("end", () => resolve(body));
    stream.on("error", reject);
  });
}

test(`[${runtime}] adopt() treats a tunnel of node:http2 as a stream, in a drain as well`, async () => {
  const native = http2.createSecureServer(pem);
  native.on("request", (_req: unknown, res: http2.Http2ServerResponse) => void res.end("hello"));
  native.on("connect", (_req: unknown, res: http2.Http2ServerResponse) => void res.end("tunnel"));
  const states: string[] = [];
  const server = adopt(native, { onConnState: (state) => states.push(state) });
  await listening(native);
  const client = connect(native, true);
  assertEquals(await get(client, undefined), "tunnel");
  assertEquals(server.connections().map(({ state }) => state), ["idle"]);
  assertEquals(states.includes("hijacked"), false);
  // One that is new when the drain begins, and asks for a tunnel then.
  const socket = net.connect((native.address() as net.AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  while (server.connections().length < 2) await delay(1);
  const { url } = server;
  const done = server.shutdown();
  await deadline(client.closed, SOON);
  const options = { socket, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  const session = http2.connect(url, { createConnection: () => tls.connect(options) });
  const late = { session, closed: once(session, "close") };
  assertEquals(await deadline(get(late, undefined), SOON), "tunnel");
  await deadline(late.closed, SOON);
  const { idle, drained } = await deadline(done, SOON);
  assertEquals(idle + drained, 2);
});

test(`[${runtime}] adopt() serves a connection of plain node:http2 that has sent nothing during the drain`, async () => {
  const native = http2.createServer();
  native.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.end("hello");
  });
  const server = adopt(native);
  await listening(native);
  const socket = net.connect((native.address() as net.AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  while (server.connections().length < 1) await delay(1);
  const { url } = server;
  assertEquals(server.connections().map(({ state }) => state), ["new"]);
  const done = server.shutdown();
  await delay(20);
  const session = http2.connect(url, { createConnection: () => socket });
  const late = { session, closed: once(session, "close") };
  assertEquals(await deadline(get(late, "/"), SOON), "hello");
  await deadline(late.closed, SOON);
  assertEquals((await deadline(done, SOON)).reason, "drained");
});

for (const secure of [true, false]) {
  test(`[${runtime}] adopt() sends a slow reader of ${secure ? "secure" : "plain"} node:http2 everything`, async () => {
    const native = secure ? http2.createSecureServer(pem) : http2.createServer();
    native.on("request", (_req: unknown, res: http2.Http2ServerResponse) => {
      res.end(new Uint8Array(LARGE));
    });
    const server = adopt(native);
    await listening(native);
    const client = await Http2Client.connect(server.addr, { window: 2 ** 31 - 1, plain: !secure });
    client.makeRoom(0, 2 ** 30);
    client.get(1, "/big");
    await client.receives(({ type }) => type === "DATA");
    client.pause();
    const done = server.shutdown();
    // More than an idle session has to end itself.
    await delay(1_200);
    client.resume();
    // Not for the end of the connection, of which a client that has paused does not hear on Deno.
    await deadline(client.receives(({ type, flags }) => type === "DATA" && flags === 1), SOON);
    assertEquals(client.body(1).length, LARGE);
    assertEquals((await deadline(done, SOON)).reason, "drained");
    client.vanish();
  });
}

for (const secure of [true, false]) {
  for (const [event, handle] of Object.entries(handlers)) {
    const on = `[${runtime}, ${secure ? "secure" : "plain"} node:http2, "${event}"]`;
    const create = () => secure ? http2.createSecureServer(pem) : http2.createServer();

    test(`${on} adopt() has streams finish and sessions close`, async () => {
      const gate = new Gate();
      const native = create();
      // Before its handlers are there.
      const server = adopt(native);
      handle(native, gate);
      await listening(native);
      const [idle, active] = [connect(native, secure), connect(native, secure)];
      assertEquals(await get(idle, "/"), "hello");
      const waiting = get(active, "/wait");
      await deadline(gate.arrived, SOON);
      const states = server.connections().map(({ state, path }) => `${state} ${path}`).sort();
      assertEquals(states, ["active /wait", "idle undefined"]);
      const done = server.shutdown();
      await deadline(idle.closed, SOON);
      gate.open();
      assertEquals(await deadline(waiting, SOON), "waited");
      await deadline(active.closed, SOON);
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });

    test(`${on} adopt() drains sessions that are open when it is called`, async () => {
      const gate = new Gate();
      const native = create();
      handle(native, gate);
      await listening(native);
      const [idle, active] = [connect(native, secure), connect(native, secure)];
      assertEquals(await get(idle, "/"), "hello");
      const waiting = get(active, "/wait");
      await deadline(gate.arrived, SOON);
      const server = adopt(native);
      const states = () => server.connections().map(({ state }) => state).sort();
      if (runtime === "bun") assertEquals(states(), [], "this exception is no more");
      else assertEquals(states(), ["active", "idle"]);
      // On Bun they are known from here on.
      for (const client of [idle, active]) assertEquals(await get(client, "/"), "hello");
      assertEquals(states(), runtime === "bun" ? ["idle", "idle"] : ["active", "idle"]);
      const done = server.shutdown();
      await deadline(idle.closed, SOON);
      gate.open();
      assertEquals(await deadline(waiting, SOON), "waited");
      await deadline(active.closed, SOON);
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });
  }
}
