/** Servers that somebody else made: of Node's modules on every runtime, of Deno.serve, of Bun.serve. */
import { test } from "node:test";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import { adopt, type AdoptOptions, graceful, type NativeServer, type Server } from "../../mod.ts";
import { Gate, listening } from "../support/adopted.ts";
import { connect, type ConnectOptions, RawClient, request } from "../../support/client.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

async function answerTo(client: RawClient, path: string): Promise<string> {
  client.write(request(path));
  return (await deadline(client.response(), SOON)).body;
}

/** What becomes of an idle, an active and a new HTTP/1 connection. */
async function drainsLikeOurs(
  server: Server,
  native: net.Server,
  gate: Gate,
  how: ConnectOptions,
): Promise<void> {
  const [idle, active, fresh] = [
    await connect(server.addr, how),
    await connect(server.addr, how),
    await connect(server.addr, how),
  ];
  assertEquals(await answerTo(idle, "/"), "hello");
  active.write(request("/wait"));
  await deadline(gate.arrived, SOON);
  // Not by its polls: what happens wakes it.
  const done = server.shutdown({ pollInterval: 3_600_000 });
  await deadline(idle.closed, SOON);
  await assertRejects(() => connect(server.addr, how), Error);
  assertEquals(await answerTo(fresh, "/"), "hello");
  await deadline(fresh.closed, SOON);
  gate.open();
  const response = await deadline(active.response(), SOON);
  assertEquals([response.body, response.headers["connection"]?.toLowerCase()], ["waited", "close"]);
  await deadline(active.closed, SOON);
  assertEquals((await deadline(done, SOON)).reason, "drained");
  assertEquals([server.state, native.listening], ["closed", false]);
}

const kinds: Record<string, (gate: Gate) => { native: net.Server; how: ConnectOptions }> = {
  "node:http": (gate) => ({
    native: http.createServer(async (req, res) => void res.end(await gate.answer(req.url))),
    how: {},
  }),
  "node:https": (gate) => ({
    native: https.createServer(pem, async (req, res) => void res.end(await gate.answer(req.url))),
    how: { alpn: "http/1.1" },
  }),
  "node:http2 with HTTP/1": (gate) => ({
    native: http2.createSecureServer(
      { ...pem, allowHTTP1: true },
      async (req, res) => void res.end(await gate.answer(req.url)),
    ),
    how: { alpn: "http/1.1" },
  }),
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`[${runtime}] adopt() drains a server of ${kind} like ours, adopted before it listens`, async () => {
    const gate = new Gate();
    const { native, how } = make(gate);
    const server = adopt(native);
    await listening(native);
    await drainsLikeOurs(server, native, gate, how);
  });

  test(`[${runtime}] adopt() drains a server of ${kind} like ours, adopted when it listens`, async () => {
    const gate = new Gate();
    const { native, how } = make(gate);
    await listening(native);
    await drainsLikeOurs(adopt(native), native, gate, how);
  });

  // Bun has no list of them.
  if (runtime !== "bun") {
    test(`[${runtime}] adopt() drains connections of ${kind} that are open when it is called`, async () => {
      const gate = new Gate();
      const { native, how } = make(gate);
      await listening(native);
      // The cast: one that listens on TCP has an AddressInfo.
      const { port } = native.address() as net.AddressInfo;
      const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
      const clients = [
        await connect(addr, how),
        await connect(addr, how),
        await connect(addr, how),
      ];
      const [idle, active, fresh] = clients as [RawClient, RawClient, RawClient];
      assertEquals(await answerTo(idle, "/"), "hello");
      active.write(request("/wait"));
      await deadline(gate.arrived, SOON);
      const server = adopt(native);
      const states = server.connections().map(({ state }) => state).sort();
      assertEquals(states, ["active", "idle", "new"]);
      const done = server.shutdown();
      await deadline(idle.closed, SOON);
      assertEquals(await answerTo(fresh, "/"), "hello");
      await deadline(fresh.closed, SOON);
      gate.open();
      const { body, headers } = await deadline(active.response(), SOON);
      assertEquals([body, headers["connection"]?.toLowerCase()], ["waited", "close"]);
      await deadline(active.closed, SOON);
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });
  }
}

if (runtime === "bun") {
  test("[bun] adopt() knows connections that are open when it is called from their next request", async () => {
    const native = http.createServer((_req, res) => void res.end("hello"));
    await listening(native);
    const { port } = native.address() as net.AddressInfo;
    const client = await connect({ transport: "tcp", hostname: "127.0.0.1", port });
    assertEquals(await answerTo(client, "/"), "hello");
    const server = adopt(native);
    assertEquals(server.connections(), [], "this exception is no more");
    assertEquals(await answerTo(client, "/"), "hello");
    assertEquals(server.connections().map(({ state }) => state), ["idle"]);
    await deadline(server.shutdown(), SOON);
    await deadline(client.closed, SOON);
  });
}

for (const kind of ["net", "tls"] as const) {
  test(`[${runtime}] adopt() waits for connections of node:${kind} that have sent something`, async () => {
    const serve = (socket: net.Socket) => {
      socket.on("data", (data) => socket.write(data));
      socket.on("error", () => {});
      server.draining.addEventListener("abort", () => socket.end("bye"));
    };
    const native = kind === "net" ? net.createServer(serve) : tls.createServer(pem, serve);
    const server: Server = adopt(native);
    await listening(native);
    const client = await connect(server.addr, kind === "net" ? {} : { alpn: "x" });
    client.write("hello");
    await deadline(client.take(/hello/), SOON);
    assertEquals(server.connections().map(({ state }) => state), ["active"]);
    const done = server.shutdown();
    await deadline(client.take(/bye/), SOON);
    await deadline(client.closed, SOON);
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });
}

test(`[${runtime}] adopt() calls onConnState with each state`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  const states: string[] = [];
  const server = adopt(native, { onConnState: (state) => states.push(state) });
  await listening(native);
  const client = await connect(server.addr);
  assertEquals(await answerTo(client, "/"), "hello");
  await deadline(server.shutdown(), SOON);
  await deadline(client.closed, SOON);
  assertEquals(states, ["new", "active", "idle", "closed"]);
});

test(`[${runtime}] adopt() refuses an upgrade during the drain with 503`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  native.on("upgrade", (_request, socket: net.Socket) => {
    // As careless as it may be.
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n");
  });
  const server = adopt(native);
  await listening(native);
  const client = await connect(server.addr);
  assertEquals(await answerTo(client, "/"), "hello");
  const done = server.shutdown({ idleGrace: SOON });
  client.write(request("/", "Connection: Upgrade", "Upgrade: echo"));
  assertEquals((await deadline(client.head(), SOON)).status, 503);
  await deadline(client.closed, SOON);
  await deadline(done, SOON);
});

test(`[${runtime}] adopt() does not wait for an upgrade that it refused`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  native.on("upgrade", () => {});
  const server = adopt(native);
  await listening(native);
  const client = await connect(server.addr);
  assertEquals(await answerTo(client, "/"), "hello");
  // A client that does not end its side.
  client.socket.removeAllListeners("end");
  const done = server.shutdown({ idleGrace: SOON });
  client.write(request("/", "Connection: Upgrade", "Upgrade: echo"));
  assertEquals((await deadline(client.head(), SOON)).status, 503);
  assertEquals((await deadline(done, SOON)).reason, "drained");
  client.vanish();
});

for (const hijacked of ["wait", "ignore"] as const) {
  test(`[${runtime}, adopted node server] adopt() treats hijacked connections as hijacked: "${hijacked}" says`, async () => {
    const native = http.createServer();
    native.on("upgrade", (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n");
      socket.on("data", (chunk) => socket.write(chunk));
      socket.on("end", () => socket.end());
    });
    const server = adopt(native);
    await listening(native);
    const client = await connect(server.addr);
    client.write(request("/", "Connection: Upgrade", "Upgrade: echo"));
    await client.head();
    assertEquals(server.connections().map(({ state }) => state), ["hijacked"]);
    const done = server.shutdown({ hijacked });
    if (hijacked === "ignore") {
      const report = await deadline(done, SOON);
      assertEquals(report.reason, "drained");
      assertEquals(report.connections.map(({ state }) => state), ["hijacked"]);
    }
    client.write("still there?");
    await client.take(/still there\?/);
    client.socket.end();
    await deadline(done, SOON);
    await client.closed;
  });
}

test(`[${runtime}] adopt() lists a request by the path that was asked for`, async () => {
  const native = http.createServer((req) => {
    // As Express does it for what is mounted at /api.
    Object.assign(req, { originalUrl: req.url, url: "/left" });
    arrived.resolve();
  });
  const arrived = Promise.withResolvers<void>();
  const server = adopt(native);
  await listening(native);
  const client = await connect(server.addr);
  client.write(request("/api/left?secret"));
  await deadline(arrived.promise, SOON);
  assertEquals(server.connections().map(({ path }) => path), ["/api/left"]);
  await server.close();
});

test(`[${runtime}] adopt() counts a request that its owner announces again once`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  native.on("checkContinue", (req, res) => {
    res.writeContinue();
    native.emit("request", req, res);
  });
  const states: string[] = [];
  const server = adopt(native, { onConnState: (state) => states.push(state) });
  await listening(native);
  const client = await connect(server.addr);
  client.write(request("POST /", "Expect: 100-continue", "Content-Length: 1"));
  assertEquals((await deadline(client.head(), SOON)).status, 100);
  client.write("x");
  assertEquals((await deadline(client.response(), SOON)).body, "hello");
  await deadline(server.shutdown(), SOON);
  await deadline(client.closed, SOON);
  assertEquals(states, ["new", "active", "idle", "closed"]);
});

test(`[${runtime}] adopt() serves a connection of node:https in its handshake during the drain`, async () => {
  const native = https.createServer(pem, (_req, res) => void res.end("hello"));
  const server = adopt(native);
  await listening(native);
  assertEquals(server.url.startsWith("https:"), true);
  // The cast: one that listens on TCP has an AddressInfo.
  const socket = net.connect((native.address() as net.AddressInfo).port, "127.0.0.1");
  await new Promise((resolve) => socket.on("connect", resolve));
  while (server.connections().length < 1) await delay(1);
  assertEquals(server.connections().map(({ state }) => state), ["new"]);
  const done = server.shutdown();
  await delay(20);
  assertEquals(server.state, "draining");
  const client = new RawClient(tls.connect({ socket, rejectUnauthorized: false }));
  assertEquals(await answerTo(client, "/"), "hello");
  await deadline(client.closed, SOON);
  assertEquals((await deadline(done, SOON)).reason, "drained");
});

test(`[${runtime}] adopt() leaves a server of node:https alone that has the port of another address`, async () => {
  const [gate, create] = [new Gate(), kinds["node:https"]!];
  const { native: one } = create(new Gate());
  const { native: other, how } = create(gate);
  const server = adopt(one);
  await listening(one);
  // The cast: one that listens on TCP has an AddressInfo.
  const { port } = one.address() as net.AddressInfo;
  await new Promise<void>((resolve) => other.listen(port, "::1", resolve));
  const adopted = adopt(other);
  const client = await connect(adopted.addr, how);
  client.write(request("/wait"));
  await deadline(gate.arrived, SOON);
  assertEquals(server.connections(), []);
  assertEquals((await deadline(server.shutdown(), SOON)).reason, "drained");
  await deadline(server.close(), SOON);
  gate.open();
  assertEquals((await deadline(client.response(), SOON)).body, "waited");
  // It still listens.
  assertEquals(await answerTo(await connect(adopted.addr, how), "/"), "hello");
  await deadline(adopted.shutdown(), SOON);
});

/** What the tests use of the two runtimes' own servers. */
interface Runtimes {
  Deno: { serve(options: object, handler: Handler): NativeServer };
  Bun: { serve(options: object): NativeServer & { reload(options: object): void } };
}
type Handler = (request: Request) => Promise<Response>;

/** A server of the runtime's own. */
function nativeServer(handler: Handler): NativeServer {
  // The cast: each is there on its own runtime.
  const { Deno, Bun } = globalThis as unknown as Runtimes;
  const where = { port: 0, hostname: "127.0.0.1" };
  return runtime === "deno"
    ? Deno.serve({ ...where, onListen: () => {} }, handler)
    : Bun.serve({ ...where, fetch: handler });
}

if (runtime !== "node") {
  const what = runtime === "deno" ? "Deno.serve" : "Bun.serve";

  test(`[${runtime}] adopt() answers what a server of ${what} has in flight, and closes what is idle`, async () => {
    const gate = new Gate();
    const native = nativeServer(async (request) =>
      new Response(await gate.answer(new URL(request.url).pathname))
    );
    const server = adopt(native);
    assertEquals(adopt(native), server);
    const [idle, active] = [await connect(server.addr), await connect(server.addr)];
    assertEquals(await answerTo(idle, "/"), "hello");
    active.write(request("/wait"));
    await deadline(gate.arrived, SOON);
    const ending = graceful(native, { signal: AbortSignal.abort(), exit: false, log: false });
    await deadline(idle.closed, SOON);
    gate.open();
    assertEquals((await deadline(active.response(), SOON)).body, "waited");
    await deadline(active.closed, SOON);
    const report = await deadline(ending, SOON);
    assertEquals([report.exitCode, server.state], [0, "closed"]);
  });

  test(`[${runtime}] adopt() names a stuck request of a server of ${what} at the deadline`, async () => {
    const gate = new Gate();
    const native = nativeServer(async () => new Response(await gate.answer("/wait")));
    const server = adopt(native);
    const client = await connect(server.addr);
    client.write(request("/"));
    await deadline(gate.arrived, SOON);
    await assertRejects(() => server.shutdown({ timeout: 50 }), Error, "incomplete");
    if (runtime === "deno") {
      await assertRejects(() => server.close(), Error, "no way to end the requests in flight");
      gate.open();
      assertEquals((await deadline(client.response(), SOON)).body, "waited");
    } else {
      await deadline(server.close(), SOON);
    }
    await deadline(client.closed, SOON);
    assertEquals(server.state, "closed");
  });

  test(`[${runtime}] adopt() refuses onConnState for a server of ${what}`, async () => {
    const native = nativeServer(() => Promise.resolve(new Response("hello")));
    const options: AdoptOptions = { onConnState: () => {} };
    await assertRejects(
      () => Promise.resolve().then(() => adopt(native, options)),
      TypeError,
      "'onConnState' must be absent",
    );
    await deadline(adopt(native).shutdown(), SOON);
  });
}

if (runtime === "bun") {
  test("[bun] adopt() serves a new connection during the drain", async () => {
    const native = nativeServer(() => Promise.resolve(new Response("hello")));
    const server = adopt(native);
    const fresh = await connect(server.addr);
    const probe = await connect(server.addr);
    assertEquals(await answerTo(probe, "/"), "hello");
    const done = server.shutdown();
    assertEquals(await answerTo(fresh, "/"), "hello");
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });
}

/** What Elysia tells of its server on Node: it looks like a server of Bun, and counts nothing. */
const likeBun = {
  stop() {},
  reload() {},
  pendingRequests: Promise.resolve(0),
  pendingWebSockets: 0,
};

test(`[${runtime}] adopt() refuses what is no server`, async () => {
  for (const native of [undefined, {}, new Map(), "server", process, Promise.resolve(), likeBun]) {
    await assertRejects(
      // The cast: what a caller without a type checker may get wrong.
      () => Promise.resolve().then(() => adopt(native as unknown as NativeServer)),
      TypeError,
      "Cannot adopt as 'native' must be a server of Node's modules, of Deno.serve or of Bun.serve",
    );
  }
});
