/** `idleTimeout` and `headerTimeout` mean the same on every engine that shows its connections, and cut nothing else. */
import { after, test } from "node:test";
import { once } from "node:events";
import http2 from "node:http2";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { deadline, delay } from "@std/async";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Engine,
  serve,
  type ServeOptions,
  type Server,
  ShutdownIncompleteError,
} from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { run } from "../support/process.ts";
import {
  engines,
  hasKernelHelp,
  pem,
  runtime,
  start as startFixture,
  temporaryFolder,
} from "../support/fixture.ts";

/** In ms: the limit of the tests. */
const LIMIT = 400;

/** In ms: longer than a limit and its quarter. */
const LONGER = 2 * LIMIT;

/** In ms. */
const SOON = 6_000;

const servers = new Set<Server>();
after(async () => {
  await Promise.all([...servers].map((server) => server.close()));
});

async function start(engine: Engine, options: ServeOptions): Promise<Server> {
  const server = await serve(async (request) => {
    switch (new URL(request.url).pathname) {
      case "/slow":
        await delay(LONGER);
        return new Response("slow");
      case "/refused-upload":
        return new Response("too much", { status: 413 });
      case "/upload":
        return new Response(String((await request.text()).length));
      case "/stream":
        return new Response(
          new ReadableStream({
            async start(controller) {
              controller.enqueue(new TextEncoder().encode("first "));
              await delay(LONGER);
              controller.enqueue(new TextEncoder().encode("last"));
              controller.close();
            },
          }),
        );
    }
    return new Response("hello");
  }, { port: 0, hostname: "127.0.0.1", engine, ...options });
  servers.add(server);
  return server;
}

/** Waits for the close of a connection, and returns after how many ms it came. */
async function closedAfter(client: RawClient): Promise<number> {
  const start = performance.now();
  await deadline(client.closed, SOON);
  return performance.now() - start;
}

/** Whether the connection is open after a time that is longer than the limit. */
async function staysOpen(client: RawClient): Promise<boolean> {
  return await Promise.race([client.closed.then(() => false), delay(LONGER).then(() => true)]);
}

const limited = engines.filter((engine) =>
  engine !== "deno-serve" && (engine !== "bun" || hasKernelHelp)
);

for (const engine of limited) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} idleTimeout closes a connection between two requests`, async () => {
    const server = await start(engine, { idleTimeout: LIMIT });
    const client = await connect(server.addr);
    for (let i = 0; i < 4; i++) {
      client.write(request("/"));
      assertEquals((await client.response()).body, "hello");
      await delay(LIMIT / 2);
    }
    client.write(request("/"));
    await client.response();
    // The clock of the server is that of whole milliseconds.
    const after = await closedAfter(client);
    assert(after >= LIMIT - 5, String(after));
    assertEquals(await client.closed, "end");
  });

  test(`${on} idleTimeout leaves alone what is slow`, async () => {
    const server = await start(engine, { idleTimeout: LIMIT, headerTimeout: LIMIT });
    const bodies: Record<string, string> = { "/slow": "slow", "/stream": "first last" };
    await Promise.all(
      Object.entries(bodies).map(async ([path, body]) => {
        const client = await connect(server.addr);
        client.write(request(path));
        assertEquals((await deadline(client.response(), SOON)).body, body);
        await closedAfter(client);
      }).concat((async () => {
        const client = await connect(server.addr);
        client.write("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n12");
        await delay(LONGER);
        client.write("34");
        assertEquals((await deadline(client.response(), SOON)).body, "4");
      })()),
    );
  });

  test(`${on} idleTimeout 0 and headerTimeout 0 close nothing`, async () => {
    const server = await start(engine, { idleTimeout: 0, headerTimeout: 0 });
    const silent = await connect(server.addr);
    const idle = await connect(server.addr);
    idle.write(request("/"));
    await idle.response();
    assertEquals(await Promise.all([staysOpen(silent), staysOpen(idle)]), [true, true]);
  });

  test(`${on} headerTimeout closes connections whose first head does not arrive`, async () => {
    const server = await start(engine, { headerTimeout: LIMIT, idleTimeout: 0 });
    const idle = await connect(server.addr);
    idle.write(request("/"));
    await idle.response();
    const silent = await connect(server.addr);
    const slow = await connect(server.addr);
    const dripping = setInterval(() => slow.write("x"), LIMIT / 10);
    slow.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    const times = await Promise.all([silent, slow].map(closedAfter));
    clearInterval(dripping);
    for (const time of times) assert(time >= LIMIT - 50, String(times));
    assert(await staysOpen(idle), "an idle connection");
  });

  test(`${on} headerTimeout closes a connection whose next head does not arrive`, async () => {
    // Deno does not show the start of such a head: there it has the time of an idle connection.
    const limits = engine === "deno"
      ? { idleTimeout: LIMIT, headerTimeout: 0 }
      : { headerTimeout: LIMIT, idleTimeout: 0 };
    const server = await start(engine, limits);
    const client = await connect(server.addr);
    client.write(request("/"));
    await client.response();
    client.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    const dripping = setInterval(() => client.write("x"), LIMIT / 10);
    const time = await closedAfter(client);
    clearInterval(dripping);
    assert(time >= LIMIT - 50, String(time));
  });

  test(`${on} idleTimeout and headerTimeout cut no request that came while the event loop was held up`, async () => {
    const server = await start(engine, { idleTimeout: LIMIT, headerTimeout: LIMIT });
    assert(server.addr.transport === "tcp");
    // The clients are another process, which sends while this one does nothing.
    const clients = run("hasty_requests.ts", [String(server.addr.port), "8"]);
    await clients.says(/open;/);
    clients.signal("SIGUSR2");
    const end = performance.now() + 2 * LIMIT;
    while (performance.now() < end);
    await clients.says(/answered: 16 of 16;/);
    assertEquals(await deadline(clients.exit, SOON), 0, clients.output);
  });

  test(`${on} headerTimeout bounds a drain that waits for a head`, async () => {
    const server = await start(engine, { headerTimeout: LIMIT });
    const client = await connect(server.addr);
    client.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    await delay(50);
    await deadline(server.shutdown(), LIMIT + 3_000);
    await client.closed;
  });

  test(`${on} idleTimeout closes an HTTP/2 session without streams, and none with one`, async () => {
    const server = await start(engine, { ...pem, idleTimeout: LIMIT });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    session.on("error", () => {});
    const closed = once(session, "close");
    const stream = session.request({ ":path": "/slow" });
    const [headers] = await deadline(once(stream, "response"), SOON);
    assertEquals([headers[":status"], await text(stream)], [200, "slow"]);
    await deadline(closed, SOON);
  });

  // Bun does not show the requests of a session that are over: there its first one has the time of a further one.
  const [first, other] = engine === "bun"
    ? ["idleTimeout", "headerTimeout"]
    : ["headerTimeout", "idleTimeout"];
  test(`${on} ${first} closes an HTTP/2 session that has never sent a request`, async () => {
    const server = await start(engine, { ...pem, [first!]: LIMIT, [other!]: 0 });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    session.on("error", () => {});
    const begin = performance.now();
    await deadline(once(session, "close"), SOON);
    const time = performance.now() - begin;
    assert(time >= LIMIT - 50, String(time));
  });

  test(`${on} idleTimeout closes an HTTP/2 session that only pings, except on Bun`, async () => {
    const server = await start(engine, { ...pem, idleTimeout: LIMIT });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    session.on("error", () => {});
    const closed = once(session, "close").then(() => true);
    const stream = session.request({ ":path": "/" });
    assertEquals(await text(stream), "hello");
    const pinging = setInterval(() => session.closed || session.ping(() => {}), LIMIT / 10);
    const patience = engine === "bun" ? 4 * LIMIT : SOON;
    const isClosed = await Promise.race([closed, delay(patience).then(() => false)]);
    clearInterval(pinging);
    assertEquals(isClosed, engine !== "bun");
    session.destroy();
  });

  // Without the kernel's help Deno does not show what arrives.
  const isReceivingShown = engine === "node" || hasKernelHelp;
  for (const options of [{}, pem]) {
    const secure = "cert" in options ? ", with TLS" : "";
    test(`${on} idleTimeout ${isReceivingShown ? "spares" : "cuts"} an upload that was answered early${secure}`, async () => {
      const server = await start(engine, { ...options, idleTimeout: LIMIT });
      const client = await connect(server.addr, secure === "" ? {} : { alpn: "http/1.1" });
      client.write(request("POST /refused-upload", "Content-Length: 1000000"));
      assertEquals((await deadline(client.response(), SOON)).status, 413);
      const sending = setInterval(() => client.write("x".repeat(100)), LIMIT / 10);
      const isOpen = await Promise.race([
        client.closed.then(() => false),
        delay(4 * LIMIT).then(() => true),
      ]);
      clearInterval(sending);
      assertEquals(isOpen, isReceivingShown);
      // A client that stops: Node waits for it with a time of its own.
      if (engine === "deno") await deadline(client.closed, SOON);
      client.vanish();
    });
  }

  // Without the kernel's help Deno goes on with a handshake, and ends the connection only then.
  const isHandshakeEnded = engine === "node" || hasKernelHelp;
  for (const [what, bytes] of [["nothing", []], ["half a record", [22, 3, 1, 0, 100]]] as const) {
    test(`${on} headerTimeout ${isHandshakeEnded ? "ends" : "forgets"} a TLS handshake with ${what}`, async () => {
      const server = await start(engine, { ...pem, headerTimeout: LIMIT });
      const client = await connect(server.addr);
      if (bytes.length > 0) client.socket.write(Uint8Array.from(bytes));
      const isClosed = await Promise.race([
        client.closed.then(() => true),
        delay(3 * LIMIT).then(() => false),
      ]);
      assertEquals(isClosed, isHandshakeEnded);
      assertEquals(server.connections(), []);
      client.vanish();
    });
  }

  test(`${on} connections() and shutdown() count TLS handshakes`, async () => {
    const server = await start(engine, pem);
    const client = await connect(server.addr);
    await delay(100);
    assertEquals(server.connections().map(({ state }) => state), ["new"]);
    const { report } = await assertRejects(
      () => deadline(server.shutdown({ timeout: LIMIT }), SOON),
      ShutdownIncompleteError,
    );
    assertEquals(report.connections.map(({ state }) => state), ["new"]);
    await server.close();
    if (isHandshakeEnded) await deadline(client.closed, SOON);
    client.vanish();
  });
}

if (runtime === "bun") {
  test("[bun, bun] idleTimeout leaves alone a WebSocket, and a client that reads a static route slowly", async () => {
    const body = "x".repeat(16 * 1024 * 1024);
    const server = await start("bun", {
      idleTimeout: LIMIT,
      bun: {
        routes: {
          "/socket": (request: Request, native: { upgrade(request: Request): boolean }) => {
            assert(native.upgrade(request));
          },
          "/static": new Response(body),
        },
      },
      websocket: { message: (socket, message) => void socket.send(message) },
    });
    const socket = new WebSocket(server.url.replace("http", "ws") + "socket");
    await once(socket, "open");
    const slow = await connect(server.addr);
    slow.write(request("/static"));
    await slow.take(/\r\n\r\n/);
    slow.socket.pause();
    await delay(LONGER);
    const echo = once(socket, "message");
    socket.send("still there");
    assertEquals((await deadline(echo, SOON))[0].data, "still there");
    slow.socket.resume();
    while (slow.received.length < body.length) await delay(10);
    socket.close();
    await server.close();
  });

  test("[bun] serve() with a time limit chooses the engine node on a unix socket, and bun refuses it", async () => {
    const options = { path: join(temporaryFolder(), "socket"), idleTimeout: 1_000 };
    const { server } = await startFixture("auto" as Engine, options);
    assertEquals(server.engine, "node");
    await server.close();
    await assertRejects(
      () => startFixture("bun", options),
      TypeError,
      `'idleTimeout' must be absent on a unix socket: current engine is "bun"`,
    );
  });
}

test(`[${runtime}] serve() takes keepAliveTimeout and headersTimeout of Node for its own limits`, async () => {
  const server = await start("node", { node: { keepAliveTimeout: LIMIT, headersTimeout: LIMIT } });
  const idle = await connect(server.addr);
  idle.write(request("/"));
  await idle.response();
  const silent = await connect(server.addr);
  await Promise.all([idle, silent].map(closedAfter));
  for (
    const [theirs, ours] of [["keepAliveTimeout", "idleTimeout"], [
      "headersTimeout",
      "headerTimeout",
    ]]
  ) {
    await assertRejects(
      () => startFixture("node", { node: { [theirs!]: 1 }, [ours!]: 1 }),
      TypeError,
      `'node.${theirs}' must be absent where '${ours}' is given: current value is 1`,
    );
  }
});

if (runtime === "deno") {
  for (const limit of ["idleTimeout", "headerTimeout"]) {
    test(`[deno, deno-serve] serve() refuses ${limit}`, async () => {
      await assertRejects(
        () => startFixture("deno-serve", { [limit]: 1 }),
        TypeError,
        `'${limit}' must be absent with an engine that does not show its connections`,
      );
    });
  }
}

test(`[${runtime}] serve() refuses limits that are out of range`, async () => {
  for (
    const [options, message] of [
      [{ idleTimeout: -1 }, "'idleTimeout' must be from 0 to 2147483647 ms: current value is -1"],
      [{ headerTimeout: NaN }, "'headerTimeout' must be from 0"],
      [{ maxBodySize: 1.5 }, "'maxBodySize' must be an integer from 0"],
    ] as const
  ) {
    await assertRejects(() => startFixture(engines[0]!, options), RangeError, message);
  }
});
