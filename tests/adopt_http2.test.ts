/** Servers of node:http2 that somebody else made, with both ways to answer. */
import { test } from "node:test";
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt } from "../mod.ts";
import { Gate, listening } from "./support/adopted.ts";
import { pem, runtime } from "./support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

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

function get({ session }: Client, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": path });
    let body = "";
    stream.on("data", (chunk) => body += chunk);
    stream.on("end", () => resolve(body));
    stream.on("error", reject);
  });
}

for (const secure of [true, false]) {
  for (const [event, handle] of Object.entries(handlers)) {
    const kind = `${runtime}: node:http2, ${secure ? "secure" : "plain"}, "${event}"`;
    const create = () => secure ? http2.createSecureServer(pem) : http2.createServer();

    test(`${kind}: streams finish, sessions close`, async () => {
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

    test(`${kind}: sessions that are open when it is adopted`, async () => {
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
