/**
 * The engine "deno" finds its connections through the kernel, or accepts and serves each one by itself. Most tests run
 * with the first, so the main rows are tested here with both. What follows is what is hard to tell through the kernel:
 * which connection a request is on, what its protocol is, and whether anything has begun on it.
 */
import { test } from "node:test";
import net from "node:net";
import { assert, assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { type ConnInfo, serve, type ServeInfo } from "../../mod.ts";
import { connect, RawClient, request, webSocketUpgrade } from "../../support/client.ts";
import { type LibC, libraries } from "../../src/runtime/linux/libc.ts";
import { KernelSockets } from "../../src/runtime/linux/kernel_sockets.ts";
import { type Fixture, hasKernelHelp, runtime, start } from "../support/fixture.ts";
import { Http2Client } from "../support/http2_client.ts";

/** In ms: less than the five seconds for which a drain keeps a connection that it does not recognize. */
const SOON = 4_000;

/** In ms: longer than the kernel's clock ticks, and than a connection has to settle. */
const SETTLED = 30;

const NEVER = 3_600_000;

/** The frame with which a WebSocket closes, with the code 1001. */
const CLOSE_1001 = new RegExp(String.fromCharCode(0x88, 2, 3, 0xe9));

/** Starts a server that serves each connection by itself, because no C library is there. */
async function startWithoutKernel(): Promise<Fixture> {
  const { open } = libraries;
  libraries.open = (): LibC | undefined => undefined;
  try {
    return await start("deno");
  } finally {
    libraries.open = open;
  }
}

/** Which servers had a listener whose connections are told by its label. */
async function sharesItsServer(serving: () => Promise<Fixture>): Promise<boolean> {
  const { acceptedBy } = KernelSockets.prototype;
  let isShared = false;
  KernelSockets.prototype.acceptedBy = function (listener) {
    isShared = true;
    return acceptedBy.call(this, listener);
  };
  try {
    await (await serving()).server.close();
    return isShared;
  } finally {
    KernelSockets.prototype.acceptedBy = acceptedBy;
  }
}

function portOf({ server: { addr } }: Fixture): number {
  assert(addr.transport === "tcp");
  return addr.port;
}

/**
 * Connects from a port of this side to an address of the server, once the port is free. With the port 0, the system
 * chooses one that no other connection of the machine has, and that is free again after a reset.
 */
async function connectFrom(
  fixture: Fixture,
  localPort: number,
  host = "127.0.0.1",
): Promise<RawClient> {
  const to = { port: portOf(fixture), host, localPort, localAddress: "127.0.0.1" };
  for (;;) {
    const socket = net.connect(to);
    const client = new RawClient(socket);
    const error = await new Promise<unknown>((resolve) => {
      socket.once("connect", () => resolve(undefined));
      socket.once("error", resolve);
    });
    if (error === undefined) return client;
    assert(error instanceof Error && "code" in error && error.code === "EADDRINUSE");
    await delay(1);
  }
}

function localPort({ socket }: RawClient): number {
  assert(socket.localPort !== undefined);
  return socket.localPort;
}

/** A client whose first request has been answered, some time ago. */
async function keptAlive(fixture: Fixture): Promise<RawClient> {
  const client = await connect(fixture.server.addr);
  client.write(request("/hello"));
  await client.response();
  await delay(SETTLED);
  return client;
}

function states(infos: readonly ConnInfo[]): string[] {
  return infos.map(({ state }) => state).sort();
}

const [HALF, OTHER_HALF] = ["GET /hello HTTP/1.1\r\nHo", "st: test\r\n\r\n"];

const ways = { "with the kernel": () => start("deno"), "without the kernel": startWithoutKernel };

for (const [way, starting] of runtime === "deno" ? Object.entries(ways) : []) {
  const on = `[deno, ${way}]`;

  test(`${on} shutdown() serves what has begun and closes what is idle`, async () => {
    const fixture = await starting();
    const { server } = fixture;
    const [idle, late, half, active, upload] = [
      await connect(server.addr),
      await connect(server.addr),
      await connect(server.addr),
      await connect(server.addr),
      await connect(server.addr),
    ];
    idle.write(request("/hello"));
    await idle.response();
    half.write(HALF);
    active.write(request("/wait"));
    upload.write(request("POST /upload", "Content-Length: 10") + "12345");
    await fixture.arrived("/wait");
    await fixture.arrived("/upload");
    await fixture.settled();
    assertEquals(states(server.connections()), ["active", "active", "idle", "new", "new"]);
    const done = server.shutdown({ timeout: SOON });
    await deadline(idle.closed, SOON);
    late.write(request("/hello"));
    half.write(OTHER_HALF);
    upload.write("67890");
    const answers = [await late.response(), await half.response(), await upload.response()];
    fixture.open();
    answers.push(await active.response());
    assertEquals(answers.map(({ status }) => status), [200, 200, 200, 200]);
    await deadline(Promise.all([late, half, upload, active].map(({ closed }) => closed)), SOON);
    assertEquals((await done).forced, 0);
  });

  test(`${on} close() ends everything at once`, async () => {
    const fixture = await starting();
    const clients = [await connect(fixture.server.addr), await keptAlive(fixture)];
    clients.push(await connect(fixture.server.addr));
    clients[2]!.write(request("/stuck"));
    await fixture.arrived("/stuck");
    await deadline(fixture.server.close(), SOON);
    await deadline(Promise.all(clients.map(({ closed }) => closed)), SOON);
  });

  test(`${on} shutdown() can be called by a handler, whose response is sent`, async () => {
    for (const isLate of [false, true]) {
      let done: Promise<unknown> | undefined;
      const { open } = libraries;
      if (way === "without the kernel") libraries.open = () => undefined;
      const server = await serve(async () => {
        if (isLate) await delay(1);
        done = server.shutdown({ timeout: SOON });
        return new Response("the last");
      }, { port: 0, hostname: "127.0.0.1", engine: "deno" }).finally(() => libraries.open = open);
      const client = await connect(server.addr);
      client.write(request("/"));
      assertEquals((await deadline(client.response(), SOON)).body, "the last");
      await deadline(client.closed, SOON);
      await done;
    }
  });

  test(`${on} remoteAddr is known to a handler after its response`, async () => {
    const later = Promise.withResolvers<unknown>();
    const fixture = await starting();
    await fixture.server.close();
    const { open } = libraries;
    if (way === "without the kernel") libraries.open = () => undefined;
    const server = await serve((_request: Request, info: ServeInfo) => {
      setTimeout(() => later.resolve(info.remoteAddr), 20);
      return new Response("hello");
    }, { port: 0, hostname: "127.0.0.1", engine: "deno" }).finally(() => libraries.open = open);
    const client = await connect(server.addr);
    const expected = { transport: "tcp", hostname: "127.0.0.1", port: localPort(client) };
    client.write(request("/", "Connection: close"));
    await client.closed;
    assertEquals(await later.promise, expected);
    await server.close();
  });
}

if (runtime === "deno" && hasKernelHelp) {
  const on = "[deno, with the kernel]";

  test(`${on} serve() serves each connection by itself where the kernel does not help`, async () => {
    assertEquals(await sharesItsServer(() => start("deno")), true);
    const shown = { onConnState: () => {} };
    assertEquals(await sharesItsServer(() => start("deno", shown)), false);
  });

  test(`${on} shutdown() serves a half-received head on a kept-alive connection`, async () => {
    const fixture = await start("deno");
    const client = await keptAlive(fixture);
    client.write(HALF);
    await delay(SETTLED);
    assertEquals(states(fixture.server.connections()), ["active"]);
    const done = fixture.server.shutdown({ timeout: SOON });
    await delay(SETTLED);
    client.write(OTHER_HALF);
    const response = await client.response();
    assertEquals([response.body, response.headers["connection"]], ["hello", "close"]);
    assertEquals((await done).forced, 0);
  });

  test(`${on} shutdown() tells a WebSocket that opened after connections() was asked`, async () => {
    const { Deno } = globalThis as unknown as {
      Deno: { upgradeWebSocket(request: Request): { response: Response } };
    };
    const server = await serve((request) => Deno.upgradeWebSocket(request).response, {
      port: 0,
      hostname: "127.0.0.1",
      engine: "deno",
    });
    const client = await connect(server.addr);
    while (server.connections().length === 0) await delay(1);
    assertEquals(states(server.connections()), ["new"]);
    client.write(webSocketUpgrade);
    assertEquals((await client.head()).status, 101);
    while (states(server.connections())[0] !== "hijacked") await delay(1);
    await delay(SETTLED);
    const done = server.shutdown({ timeout: SOON });
    await deadline(client.take(CLOSE_1001), SOON);
    client.vanish();
    await deadline(done, SOON);
  });

  test(`${on} shutdown() serves an HTTP/2 session that has just begun`, async () => {
    for (const pings of [0, 1, 3]) {
      const fixture = await start("deno");
      const client = await Http2Client.connect(fixture.server.addr, { plain: true });
      for (let i = 0; i < pings; i++) await client.pong();
      await delay(SETTLED);
      assertEquals(states(fixture.server.connections()), ["new"], `${pings} pings`);
      const done = fixture.server.shutdown({ timeout: 2 * SOON });
      await delay(3 * SETTLED);
      client.get(1, "/hello");
      await deadline(client.receives(({ type }) => type === "DATA"), SOON);
      assertEquals(client.body(1), "hello");
      await deadline(client.ended, SOON);
      assertEquals((await done).forced, 0);
    }
  });

  test(`${on} shutdown() ends HTTP/2 sessions, and serves a half-received head beside them`, async () => {
    const fixture = await start("deno");
    const { addr } = fixture.server;
    const session = await Http2Client.connect(addr, { plain: true });
    session.get(1, "/hello");
    await deadline(session.receives(({ type }) => type === "DATA"), SOON);
    const [kept, fresh] = [await keptAlive(fixture), await connect(addr)];
    kept.write(HALF);
    fresh.write(HALF);
    await delay(SETTLED);
    const done = fixture.server.shutdown({ timeout: 2 * SOON });
    await deadline(session.receives(({ type }) => type === "GOAWAY"), SOON);
    // A stream that crosses the GOAWAY.
    session.get(3, "/hello");
    for (const client of [kept, fresh]) client.write(OTHER_HALF);
    for (const client of [kept, fresh]) assertEquals((await client.response()).body, "hello");
    await deadline(session.ended, SOON);
    assertEquals(session.body(3), "hello");
    assertEquals((await done).forced, 0);
  });

  for (const head of ["HTTP/1.0\r\nConnection: keep-alive", "HTTP/1.1"]) {
    test(`${on} shutdown() takes a request without a host for HTTP/1: ${head.slice(0, 8)}`, async () => {
      const fixture = await start("deno");
      const [busy, idle] = [
        await connect(fixture.server.addr),
        await connect(fixture.server.addr),
      ];
      idle.write(`GET /hello ${head}\r\n\r\n`);
      await idle.response();
      busy.write(`GET /wait ${head}\r\n\r\n`);
      await fixture.arrived("/wait");
      await delay(SETTLED);
      const done = fixture.server.shutdown({ timeout: SOON });
      await deadline(idle.closed, SOON);
      // No frame of HTTP/2 has come.
      assertEquals(idle.received, "");
      fixture.open();
      const { headers, body } = await busy.response();
      assertEquals([headers["connection"], body.includes("waited")], ["close", true]);
      await deadline(busy.closed, SOON);
      await done;
    });
  }

  test(`${on} shutdown() tells two connections of one client address apart`, async () => {
    for (const kind of ["busy", "new", "half"]) {
      const fixture = await start("deno", { hostname: "0.0.0.0" });
      const kept = await connectFrom(fixture, 0);
      // The same port of the client, at another address of this machine.
      const twin = await connectFrom(fixture, localPort(kept), "127.0.0.2");
      kept.write(request("/hello"));
      await kept.response();
      if (kind === "busy") {
        twin.write(request("/wait"));
        await fixture.arrived("/wait");
      } else if (kind === "half") twin.write(HALF);
      await delay(SETTLED);
      const done = fixture.server.shutdown({ timeout: 2 * SOON });
      await delay(SETTLED);
      fixture.open();
      if (kind === "new") twin.write(request("/hello"));
      if (kind === "half") twin.write(OTHER_HALF);
      assertEquals((await deadline(twin.response(), SOON)).status, 200, kind);
      await deadline(Promise.all([kept.closed, twin.closed]), SOON);
      assertEquals((await done).forced, 0);
    }
  });

  test(`${on} shutdown() takes nothing known of a connection for its successor's at the same port`, async () => {
    const fixture = await start("deno");
    const first = await connect(fixture.server.addr);
    const second = await connectFrom(fixture, 0);
    const session = Http2Client.over(second);
    session.get(1, "/hello");
    await deadline(session.receives(({ type }) => type === "DATA"), SOON);
    while (states(fixture.server.connections()).join() !== "idle,new") await delay(1);
    const port = localPort(second);
    second.vanish();
    first.vanish();
    while (fixture.server.connections().length > 0) await delay(1);
    const client = await connectFrom(fixture, port);
    client.write(request("/wait"));
    await fixture.arrived("/wait");
    const done = fixture.server.shutdown({ timeout: SOON });
    await delay(SETTLED);
    fixture.open();
    const response = await client.response();
    assertEquals([response.body, response.headers["connection"]], ["waited", "close"]);
    await deadline(client.closed, SOON);
    await done;
  });

  test(`${on} shutdown() answers a client at the port of one whose handler still works`, async () => {
    const fixture = await start("deno");
    const gone = await connectFrom(fixture, 0);
    const port = localPort(gone);
    gone.write(request("/wait"));
    await fixture.arrived("/wait");
    gone.vanish();
    await gone.closed;
    const client = await connectFrom(fixture, port);
    client.write(request("POST /upload", "Content-Length: 10") + "12345");
    await fixture.arrived("/upload");
    const done = fixture.server.shutdown({ timeout: SOON });
    await delay(SETTLED);
    // The end of the first request says nothing of the second one.
    fixture.open();
    await delay(SETTLED);
    client.write("67890");
    assertEquals((await deadline(client.response(), SOON)).body, "got 10");
    await deadline(client.closed, SOON);
    await done;
  });

  test(`${on} shutdown() says close on a connection of its accept queue, and closes it`, async () => {
    const fixture = await start("deno");
    const clients = Array.from({ length: 8 }, async () => {
      const client = await connect(fixture.server.addr);
      client.write(request("/hello"));
      return client;
    });
    const connected = await Promise.all(clients);
    const done = fixture.server.shutdown({ timeout: SOON, pollInterval: NEVER });
    for (const client of connected) {
      assertEquals((await deadline(client.response(), SOON)).body, "hello");
      await deadline(client.closed, SOON);
    }
    await deadline(done, SOON);
  });

  test(`${on} startLameDuck() ends connections one by one, and answers a head that has begun`, async () => {
    const fixture = await start("deno");
    const [kept, half] = [await keptAlive(fixture), await keptAlive(fixture)];
    // The cast: startLameDuck is internal, graceful() calls it.
    (fixture.server as unknown as { startLameDuck(): void }).startLameDuck();
    kept.write(request("/hello"));
    half.write(HALF);
    assertEquals((await kept.response()).headers["connection"], "close");
    await deadline(kept.closed, SOON);
    half.write(OTHER_HALF);
    assertEquals((await half.response()).headers["connection"], "close");
    await deadline(half.closed, SOON);
    const late = await connect(fixture.server.addr);
    late.write(request("/hello"));
    assertEquals((await late.response()).headers["connection"], "close");
    await deadline(late.closed, SOON);
    await fixture.server.shutdown({ timeout: SOON });
  });

  test(`${on} shutdown() spares no connection that was told to close, whatever idleGrace is`, async () => {
    const fixture = await start("deno");
    // The cast: startLameDuck is internal, graceful() calls it.
    (fixture.server as unknown as { startLameDuck(): void }).startLameDuck();
    const client = await connect(fixture.server.addr);
    client.write(request("/hello"));
    assertEquals((await client.response()).headers["connection"], "close");
    const done = fixture.server.shutdown({ timeout: 2 * SOON, idleGrace: SOON });
    await deadline(client.closed, SOON / 2);
    await done;
  });
}
