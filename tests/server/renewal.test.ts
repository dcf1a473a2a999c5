/** `setCertificate`: other certificates on new connections, and no connection lost. */
import { after, test } from "node:test";
import http2 from "node:http2";
import https from "node:https";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type tls from "node:tls";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import {
  adopt,
  type CertificateOptions,
  serve,
  type Server,
  ServerClosedError,
  serveTcp,
  UpgradeError,
} from "../../mod.ts";
import { connect, type RawClient, request, webSocketUpgrade } from "../../support/client.ts";
import { TlsLoad } from "../../support/tls_load.ts";
import { DrivenServer } from "../../src/server/driven_server.ts";
import { libraries } from "../../src/runtime/linux/libc.ts";
import { MAX_NAMES } from "../../src/runtime/deno/listen.ts";
import {
  authority,
  first,
  get,
  named,
  namedSecond,
  pemFile,
  second,
  see,
  seenOf,
  wildcard,
} from "../support/certificates.ts";
import { engines, type Fixture, runtime, start, temporaryFolder } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;

const isLinux = process.platform === "linux";

/** The engines that can renew here. */
const able = engines.filter((engine) => engine === "node" || isLinux);
/** Those that do so with the help of the kernel. */
const byKernel = able.filter((engine) => engine !== "node");

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

function portOf({ addr }: Server): number {
  assert(addr.transport === "tcp");
  return addr.port;
}

async function nameOf({ addr }: Server, options?: tls.ConnectionOptions): Promise<string> {
  return (await see(addr, options)).name;
}

/** An HTTP/1 client, which keeps its connection alive. */
function connectTo({ server }: Fixture): Promise<RawClient> {
  return connect(server.addr, { alpn: "http/1.1" });
}

/** Runs a function while the C library cannot be called. */
async function withoutFFI(fn: () => Promise<void>): Promise<void> {
  const { open } = libraries;
  libraries.open = () => undefined;
  try {
    await fn();
  } finally {
    libraries.open = open;
  }
}

for (const engine of able) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} setCertificate() changes what new connections see, and leaves open ones alone`, async () => {
    const fixture = await start(engine, first);
    const { server } = fixture;
    const [kept, active] = [await connectTo(fixture), await connectTo(fixture)];
    kept.write(request("/hello"));
    assertEquals((await kept.response()).body, "hello");
    active.write(request("/wait"));
    await fixture.arrived("/wait");
    await server.setCertificate(second);
    assertEquals(await nameOf(server), "second");
    assertEquals(server.url, `https://127.0.0.1:${portOf(server)}/`);
    kept.write(request("/hello"));
    const response = await kept.response();
    assertEquals([response.body, response.headers["connection"]?.toLowerCase()], [
      "hello",
      engine === "node" ? "keep-alive" : undefined,
    ]);
    fixture.open();
    assertEquals((await active.response()).body, "waited");
    assertEquals(seenOf(kept.socket as tls.TLSSocket).name, "first");
    await server.setCertificate(first);
    assertEquals(await nameOf(server), "first");
    for (const client of [kept, active]) {
      client.write(request("/hello"));
      assertEquals((await client.response()).body, "hello");
    }
    await deadline(server.shutdown(), SOON);
    await Promise.all([kept.closed, active.closed]);
  });

  test(`${on} shutdown() after a renewal waits for connections of either certificate`, async () => {
    const fixture = await start(engine, first);
    const { server } = fixture;
    const clients = [await connectTo(fixture)];
    await server.setCertificate(second);
    clients.push(await connectTo(fixture));
    await server.setCertificate(first);
    clients.push(await connectTo(fixture));
    for (const client of clients) client.write(request("/wait"));
    while (server.connections().filter(({ state }) => state === "active").length < 3) {
      await fixture.settled();
    }
    const done = server.shutdown({ pollInterval: 5 });
    let isDone = false;
    done.then(() => isDone = true);
    await assertRejects(() => connectTo(fixture), Error);
    assertEquals(isDone, false);
    assertEquals(server.connections().filter(({ path }) => path === "/wait").length, 3);
    fixture.open();
    for (const client of clients) {
      const { body, headers } = await client.response();
      assertEquals([body, headers["connection"]?.toLowerCase()], ["waited", "close"]);
      await client.closed;
    }
    const { reason, forced } = await deadline(done, SOON);
    assertEquals([reason, forced], ["drained", 0]);
  });

  test(`${on} shutdown() after a renewal closes idle connections of either certificate`, async () => {
    const fixture = await start(engine, first);
    const { server } = fixture;
    const clients = [await connectTo(fixture)];
    await server.setCertificate(second);
    clients.push(await connectTo(fixture));
    for (const client of clients) {
      client.write(request("/hello"));
      await client.response();
    }
    await deadline(server.shutdown(), SOON);
    await Promise.all(clients.map(({ closed }) => closed));
  });

  if (engine !== "deno-serve") {
    test(`${on} idleGrace serves idle connections of either certificate once more`, async () => {
      const fixture = await start(engine, first);
      const { server } = fixture;
      const clients = [await connectTo(fixture)];
      await server.setCertificate(second);
      clients.push(await connectTo(fixture));
      for (const client of clients) {
        client.write(request("/hello"));
        await client.response();
      }
      const done = server.shutdown({ idleGrace: 5_000 });
      for (const client of clients) {
        client.write(request("/hello"));
        const { body, headers } = await client.response();
        assertEquals([body, headers["connection"]?.toLowerCase()], ["hello", "close"]);
      }
      await deadline(done, SOON);
    });

    test(`${on} shutdown() after a renewal serves new connections of either certificate`, async () => {
      const fixture = await start(engine, first);
      const { server } = fixture;
      const clients = [await connectTo(fixture)];
      await server.setCertificate(second);
      clients.push(await connectTo(fixture));
      await fixture.settled();
      const done = server.shutdown();
      for (const client of clients) {
        client.write(request("/hello"));
        assertEquals((await client.response()).body, "hello");
      }
      await deadline(done, SOON);
    });
  }

  test(`${on} close() after a renewal ends connections of either certificate`, async () => {
    const fixture = await start(engine, first);
    const { server } = fixture;
    const clients = [await connectTo(fixture)];
    await server.setCertificate(second);
    clients.push(await connectTo(fixture));
    for (const client of clients) client.write(request("/stuck"));
    while (server.connections().filter(({ path }) => path === "/stuck").length < 2) {
      await fixture.settled();
    }
    await deadline(server.close(), SOON);
    await Promise.all(clients.map(({ closed }) => deadline(closed, SOON)));
    assertEquals(server.connections(), []);
  });

  test(`${on} setCertificate() leaves an HTTP/2 session alone`, async () => {
    const { server } = await start(engine, first);
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    session.on("error", () => {});
    const closed = new Promise<void>((resolve) => session.on("close", () => resolve()));
    assertEquals(await bodyOf(session), "hello");
    await server.setCertificate(second);
    assertEquals(await bodyOf(session), "hello");
    await deadline(server.shutdown(), SOON);
    await deadline(closed, SOON);
  });

  test(`${on} setCertificate() refuses what does not fit, and changes nothing`, async () => {
    const { server } = await start(engine, first);
    const refused: [unknown, string][] = [
      [{ ...second, key: first.key }, "'key' must be the private key of 'cert'"],
      [{ cert: second.cert }, "'key' must be in PEM"],
      [{ ...second, cert: "none" }, "'cert' must be a certificate in PEM"],
      [
        { ...first, key: pemFile("first.encrypted.key"), passphrase: "wrong" },
        "'passphrase' must be",
      ],
      [{ ...second, certificates: [{ serverName: "a.b" }] }, "'certificates[0].cert' must be"],
      [{ ...second, ca: "" }, "'ca' is not an option"],
      [undefined, "the options must be an object"],
    ];
    for (const [certificate, message] of refused) {
      const error = await assertRejects(
        () => server.setCertificate(certificate as CertificateOptions),
        TypeError,
      );
      assertStringIncludes(error.message, `Cannot set the certificate as ${message}`);
      assertEquals(await nameOf(server), "first");
    }
    await server.setCertificate({
      ...first,
      key: pemFile("first.encrypted.key"),
      passphrase: "secret",
    });
    assertEquals(await nameOf(server), "first");
  });

  test(`${on} setCertificate() refuses a server that drains, and one that is closed`, async () => {
    const fixture = await start(engine, first);
    const { server } = fixture;
    const client = await connectTo(fixture);
    client.write(request("/wait"));
    await fixture.arrived("/wait");
    const done = server.shutdown();
    for (const state of ["draining", "closed"]) {
      const error = await assertRejects(() => server.setCertificate(second), ServerClosedError);
      assertStringIncludes(error.message, state);
      fixture.open();
      await deadline(done, SOON);
    }
  });

  test(`${on} setCertificate() refuses a server without TLS`, async () => {
    const { server } = await start(engine);
    const error = await assertRejects(() => server.setCertificate(second), TypeError);
    assertStringIncludes(error.message, "the server has no TLS");
  });

  test(`${on} setCertificate() in a lame duck keeps ending connections`, async () => {
    const fixture = await start(engine, first);
    const { server } = fixture;
    assert(server instanceof DrivenServer);
    server.startLameDuck();
    await server.setCertificate(second);
    const client = await connectTo(fixture);
    client.write(request("/hello"));
    assertEquals((await client.response()).headers["connection"]?.toLowerCase(), "close");
    client.socket.destroy();
  });

  test(`${on} setCertificate() works on a listener that can be handed over`, async () => {
    for (const handoff of ["inherit", "reuseport"] as const) {
      // Node falls back to "inherit", and Deno asks for --unstable-net.
      if (handoff === "reuseport" && runtime !== "bun") continue;
      const fixture = await start(engine, { ...first, handoff });
      const { server } = fixture;
      assertEquals([server.engine, server.handoff], [engine, handoff]);
      for (const pair of [second, first, second]) await server.setCertificate(pair);
      assertEquals(await nameOf(server), "second");
      const client = await connectTo(fixture);
      client.write(request("/hello"));
      assertEquals((await client.response()).body, "hello");
      await deadline(server.shutdown(), SOON);
      await assertRejects(() => connectTo(fixture), Error);
    }
  });

  test(`${on} setCertificate() under load loses no request`, async () => {
    const { server } = await start(engine, first);
    const load = new TlsLoad({
      port: portOf(server),
      ca: authority,
      fresh: 4,
      kept: 2,
      // With Deno's node:http2, a client that closes its session can end the process.
      http2: runtime === "deno" ? 0 : 2,
      perConnection: 20,
    });
    const pairs = [second, first, second, first];
    for (const [index, pair] of pairs.entries()) {
      await load.until(60 * (index + 1));
      await server.setCertificate(pair);
    }
    await load.until(300);
    await load.stop();
    assertEquals(load.failures, []);
    assertEquals([...load.handshakes.keys()].sort(), ["first", "second"]);
  });
}

/** The body of the response to a stream. */
function bodyOf(session: http2.ClientHttp2Session): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/hello" });
    let body = "";
    stream.on("data", (chunk) => body += chunk);
    stream.on("end", () => resolve(body));
    stream.on("error", reject);
  });
}

for (const engine of able.filter((engine) => engine !== "deno-serve")) {
  test(`[${runtime}, ${engine}] setCertificate() keeps, replaces and removes the certificates of names`, async () => {
    const { server } = await start(engine, first);
    const api = { servername: "api.example.com" };
    assertEquals(await nameOf(server, api), "first");
    await server.setCertificate({
      ...second,
      certificates: [
        { serverName: "api.example.com", ...named },
        { serverName: "*.example.org", ...wildcard },
      ],
    });
    assertEquals([await nameOf(server), await nameOf(server, api)], ["second", "named"]);
    await server.setCertificate(first);
    assertEquals([await nameOf(server), await nameOf(server, api)], ["first", "named"]);
    await server.setCertificate({
      ...first,
      certificates: [{ serverName: "api.example.com", ...namedSecond }],
    });
    assertEquals(await nameOf(server, api), "named_second");
    assertEquals(await nameOf(server, { servername: "a.example.org" }), "first");
    await server.setCertificate({ ...first, certificates: [] });
    assertEquals(await nameOf(server, api), "first");
  });
}

for (const engine of byKernel) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} setCertificate() without the C library says what it needs, and changes nothing`, async () => {
    await withoutFFI(async () => {
      const fixture = await start(engine, first);
      const { server } = fixture;
      const error = await assertRejects(() => server.setCertificate(second), UpgradeError);
      assertStringIncludes(error.message, "needs Linux");
      assertStringIncludes(error.message, "--allow-ffi");
      assertEquals(await get(server.addr, "/hello"), "hello");
      assertEquals(await nameOf(server), "first");
    });
  });

  test(`${on} setCertificate() leaves no socket open behind connections that have ended`, async () => {
    const { server } = await start(engine, first);
    await server.setCertificate(second);
    await server.setCertificate(first);
    const before = openSockets();
    for (let i = 0; i < 10; i++) {
      await get(server.addr, "/hello");
      await server.setCertificate(i % 2 === 0 ? second : first);
    }
    const more = openSockets() - before;
    // Deno.serve does not show when the connections of a server have ended.
    assert(engine === "deno-serve" ? more >= 10 : more <= 2, `${more} more sockets`);
    await server.close();
  });
}

/** A client whose WebSocket is open. */
async function webSocketOf({ addr }: Server): Promise<RawClient> {
  const client = await connect(addr, { alpn: "http/1.1" });
  client.write(webSocketUpgrade);
  assertEquals((await client.head()).status, 101);
  return client;
}

/** How many sockets this process has open. */
function openSockets(): number {
  return readdirSync("/proc/self/fd").length;
}

if (runtime === "bun") {
  test("[bun, bun] shutdown() after a renewal tells WebSockets of either server 1001", async () => {
    const server = await serve((request, { native }) => {
      // The casts: the engine is "bun", and after an upgrade Bun takes no response.
      const { upgrade } = native as { upgrade(request: Request): boolean };
      return upgrade(request) ? undefined as unknown as Response : new Response("no WebSocket");
    }, { port: 0, hostname: "127.0.0.1", engine: "bun", ...first, websocket: { message() {} } });
    open.add(server);
    const clients = [await webSocketOf(server)];
    await server.setCertificate(second);
    clients.push(await webSocketOf(server));
    assertEquals(server.connections().map(({ state }) => state), ["hijacked", "hijacked"]);
    const done = server.shutdown();
    for (const client of clients) {
      // A frame of close, with the code 1001.
      assertEquals(await client.bytes(4), "\x88\x02\x03\xe9");
      client.socket.destroy();
    }
    await deadline(done, SOON);
  });

  if (isLinux) {
    test("[bun, bun] setCertificate() refuses a server of HTTP/3", async () => {
      const { server } = await start("bun", { ...first, bun: { http3: true } });
      const error = await assertRejects(() => server.setCertificate(second), UpgradeError);
      assertStringIncludes(error.message, "HTTP/3");
      assertEquals(await nameOf(server), "first");
    });

    test("[bun, bun] setCertificate() on a unix socket names the engine that can do it", async () => {
      const path = join(temporaryFolder(), "socket");
      const { server } = await start("bun", { ...first, path });
      const error = await assertRejects(() => server.setCertificate(second), UpgradeError);
      assertStringIncludes(error.message, '"node"');
      assertEquals(await nameOf(server), "first");
    });
  }
}

test(`[${runtime}, node] setCertificate() keeps what 'node' says of TLS`, async () => {
  const { server } = await start("node", { ...first, node: { maxVersion: "TLSv1.2" } });
  assertEquals((await see(server.addr)).protocol, "TLSv1.2");
  const certificates = [{ serverName: "api.example.com", ...named }];
  await server.setCertificate({ ...second, certificates });
  const { name, protocol } = await see(server.addr);
  assertEquals([name, protocol], ["second", "TLSv1.2"]);
  assertEquals((await see(server.addr, { servername: "api.example.com" })).protocol, "TLSv1.2");
});

if (runtime !== "deno") {
  test(`[${runtime}, node] setCertificate() works on a unix socket`, async () => {
    const path = join(temporaryFolder(), "socket");
    const { server } = await start("node", { ...first, path });
    await server.setCertificate(second);
    assertEquals(await nameOf(server), "second");
  });
}

test(`[${runtime}] setCertificate() refuses an adopted server`, async () => {
  const native = https.createServer(first);
  await new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
  const server = adopt(native);
  open.add(server);
  const error = await assertRejects(() => server.setCertificate(second), TypeError);
  assertStringIncludes(error.message, "the server was adopted");
});

if (runtime === "deno" && isLinux) {
  test("[deno, deno-serve] setCertificate() refuses certificates for names, and changes nothing", async () => {
    const { server } = await start("deno-serve", first);
    const certificates = [{ serverName: "api.example.com", ...named }];
    const error = await assertRejects(
      () => server.setCertificate({ ...second, certificates }),
      UpgradeError,
    );
    assertStringIncludes(error.message, '"deno-serve"');
    assertEquals(await nameOf(server), "first");
  });

  test("[deno, deno] serve() forgets the server names that clients make up", async () => {
    const { server } = await start("deno", {
      ...first,
      certificates: [{ serverName: "api.example.com", ...named }],
    });
    const before = listeners();
    for (let i = 0; i < MAX_NAMES; i += 50) {
      const names = Array.from({ length: 50 }, (_, j) => `name-${i + j}.example.com`);
      await Promise.all(names.map((servername) => nameOf(server, { servername })));
    }
    // The listener was replaced: with its number, the kernel's view of it has changed.
    assert(listeners() !== before);
    assertEquals(await nameOf(server, { servername: "api.example.com" }), "named");
    assertEquals(await nameOf(server, { servername: "name-1.example.com" }), "first");
  });
}

function listeners(): string {
  return readdirSync("/proc/self/fd").join();
}

test(`[${runtime}] setCertificate() of serveTcp() changes what new connections see`, async () => {
  const server = await serveTcp(async ({ readable, writable, setState }) => {
    const writer = writable.getWriter();
    for await (const chunk of readable) {
      await writer.write(chunk);
      setState("idle");
    }
  }, { port: 0, hostname: "127.0.0.1", ...first });
  open.add(server);
  const clients = [await connect(server.addr, { tls: {} })];
  await server.setCertificate(second);
  clients.push(await connect(server.addr, { tls: {} }));
  assertEquals(clients.map(({ socket }) => seenOf(socket as tls.TLSSocket).name), [
    "first",
    "second",
  ]);
  for (const client of clients) {
    client.write("hello");
    assertEquals(await client.take(/hello/), "hello");
  }
  await deadline(server.shutdown(), SOON);
  await Promise.all(clients.map(({ closed }) => closed));
});
