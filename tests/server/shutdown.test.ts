/** Section by section what a shutdown does to each kind of connection, on every engine. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import { ShutdownIncompleteError } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import {
  BIG,
  engines,
  type Fixture,
  hasKernelHelp,
  isOlderDeno,
  runtime,
  start,
} from "../support/fixture.ts";

/** In ms: far above what anything here takes, and below 5 s, when keep-alive ends by itself. */
const SOON = 4_000;

/** A client whose first request has been answered, and which keeps the connection alive. */
async function keptAlive({ server }: Fixture): Promise<RawClient> {
  const client = await connect(server.addr);
  client.write(request("/hello"));
  await client.response();
  return client;
}

/** The kinds of uploads of 10 bytes: a header, what is sent before the shutdown, and what is sent after. */
const UPLOADS = [
  ["an upload with a length", "Content-Length: 10", "12345", "67890"],
  [
    "a chunked upload",
    "Transfer-Encoding: chunked",
    "5\r\n12345\r\n",
    "5\r\n67890\r\n0\r\n\r\n",
  ],
] as const;

async function isRefused({ server }: Fixture): Promise<boolean> {
  try {
    const client = await connect(server.addr);
    client.socket.destroy();
    return false;
  } catch {
    return true;
  }
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;
  /** What `Deno.serve` does otherwise: see the table of docs/engines.md. */
  const closesNew = engine === "deno-serve";
  const dropsUploads = engine === "deno-serve" && !isOlderDeno;

  test(`${on} shutdown() closes idle connections at the first poll`, async () => {
    const fixture = await start(engine);
    const clients = [await keptAlive(fixture), await keptAlive(fixture)];
    const report = await deadline(fixture.server.shutdown(), SOON);
    for (const client of clients) assertEquals(await client.closed, "end");
    assertEquals(report.reason, "drained");
    if (engine !== "deno-serve") assertEquals(report.idle, 2);
    assert(await isRefused(fixture));
    assertEquals(fixture.server.state, "closed");
  });

  test(`${on} shutdown() has new connections refused while others are served`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/wait"));
    await fixture.arrived("/wait");
    const done = fixture.server.shutdown();
    // Deno's listener closes in the turns after the call.
    while (!await isRefused(fixture)) assertEquals(fixture.server.state, "draining");
    assertEquals(fixture.server.state, "draining");
    fixture.open();
    await client.response();
    await deadline(done, SOON);
  });

  test(`${on} shutdown() answers an active request in full, says close, and its connection closes`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/wait"));
    await fixture.arrived("/wait");
    // An hour between polls: it is the end of the response that ends the drain.
    const done = fixture.server.shutdown({ pollInterval: 3_600_000 });
    fixture.open();
    const response = await client.response();
    assertEquals([response.status, response.body], [200, "waited"]);
    assertEquals(response.headers["connection"]?.toLowerCase(), "close");
    assertEquals(await client.closed, "end");
    assertEquals((await deadline(done, SOON)).drained, 1);
  });

  test(`${on} shutdown() answers a streamed response in full`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/stream"));
    await client.take(/first /);
    const done = fixture.server.shutdown({ pollInterval: 3_600_000 });
    fixture.open();
    await client.take(/last/);
    assertEquals(await deadline(client.closed, SOON), "end");
    await deadline(done, SOON);
  });

  test(`${on} shutdown() waits for an endless stream, which ends when its handler sees the drain`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/endless"));
    await client.take(/first /);
    const done = fixture.server.shutdown({ pollInterval: 3_600_000 });
    await client.take(/drained/);
    assertEquals(await deadline(client.closed, SOON), "end");
    await deadline(done, SOON);
  });

  for (const path of ["/big", "/big-stream"]) {
    test(`${on} shutdown() sends a slow reader all of ${path}`, async () => {
      const fixture = await start(engine);
      const client = await connect(fixture.server.addr, { paused: true });
      client.write(request(path));
      await fixture.arrived(path);
      await fixture.settled();
      const done = fixture.server.shutdown({ timeout: SOON });
      const received = await client.countToEnd();
      assert(received > BIG, `received ${received} of ${BIG} bytes`);
      assertEquals((await done).reason, "drained");
    });
  }

  test(`${on} shutdown() keeps a new connection, and serves it if its request comes`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    await fixture.settled();
    const done = fixture.server.shutdown();
    await refusedAt(fixture);
    client.write(request("/hello"));
    if (closesNew) {
      await client.closed;
      assertEquals(client.received, "");
    } else {
      const response = await client.response();
      assertEquals(response.body, "hello");
      assertEquals(response.headers["connection"]?.toLowerCase(), "close");
    }
    await deadline(done, SOON);
  });

  test(`${on} shutdown() serves a request whose head is half received`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write("GET /hello HTTP/1.1\r\nHo");
    await fixture.settled();
    const done = fixture.server.shutdown();
    await refusedAt(fixture);
    client.write("st: test\r\n\r\n");
    if (closesNew) {
      await client.closed;
      assertEquals(client.received, "");
    } else {
      assertEquals((await client.response()).body, "hello");
    }
    await deadline(done, SOON);
  });

  test(`${on} shutdown() serves a second request whose head is half received`, async () => {
    const fixture = await start(engine);
    const client = await keptAlive(fixture);
    client.write("GET /hello HTTP/1.1\r\nHo");
    await fixture.settled();
    const done = fixture.server.shutdown();
    await refusedAt(fixture);
    client.write("st: test\r\n\r\n");
    if (engine === "deno" || engine === "deno-serve") {
      // Deno does not tell it from silence: idle, as it is in Go.
      await client.closed;
      assertEquals(client.received, "");
    } else {
      const response = await client.response();
      assertEquals(response.body, "hello");
      assertEquals(response.headers["connection"]?.toLowerCase(), "close");
      await client.closed;
    }
    await deadline(done, SOON);
  });

  test(`${on} shutdown() takes an empty line behind a response for no request`, async () => {
    const fixture = await start(engine);
    const client = await keptAlive(fixture);
    client.write("\r\n");
    await fixture.settled();
    const done = fixture.server.shutdown();
    // The kernel does not tell the line from half a head, which the engine "deno" keeps for 5 s.
    await deadline(client.closed, 2 * SOON);
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });

  for (const [kind, header, sent, rest] of UPLOADS) {
    test(`${on} shutdown() receives and answers ${kind}`, async () => {
      const fixture = await start(engine);
      const client = await connect(fixture.server.addr);
      client.write(request("POST /upload", header) + sent);
      await fixture.arrived("/upload");
      const done = fixture.server.shutdown();
      await refusedAt(fixture);
      client.write(rest);
      if (dropsUploads) await client.closed;
      else {
        const response = await client.response();
        assertEquals(response.body, "got 10");
        assertEquals(response.headers["connection"]?.toLowerCase(), "close");
      }
      await deadline(done, SOON);
    });
  }

  test(`${on} shutdown() receives and answers an upload that waits for 100 Continue`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("POST /upload", "Content-Length: 5", "Expect: 100-continue"));
    await fixture.arrived("/upload");
    const done = fixture.server.shutdown();
    if (dropsUploads) client.vanish();
    else {
      assertEquals((await client.response()).status, 100);
      client.write("12345");
      assertEquals((await client.response()).body, "got 5");
    }
    await deadline(done, SOON);
  });

  test(`${on} shutdown() sends the answer to an unread upload to a client that goes on sending`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr, { paused: true });
    const upload = request("POST /ignore-upload", `Content-Length: ${1024 * 1024}`);
    client.write(upload + "x".repeat(64 * 1024));
    await fixture.arrived("/ignore-upload");
    const done = fixture.server.shutdown();
    fixture.open();
    // Time to do it wrong: a closed socket answers what comes with a reset, which takes the
    // unread answer away.
    for (let i = 0; i < 4; i++) {
      await delay(20);
      client.write("x".repeat(64 * 1024));
    }
    client.socket.resume();
    assertEquals((await client.response()).status, 413);
    client.vanish();
    await deadline(done, SOON);
  });

  test(`${on} shutdown() does not process a request behind the last response`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    await fixture.settled();
    const done = fixture.server.shutdown();
    await refusedAt(fixture);
    client.write(request("/hello") + request("/wait"));
    if (!closesNew) assertEquals((await client.response()).body, "hello");
    await client.closed;
    assertEquals(fixture.hasArrived("/wait"), false);
    await deadline(done, SOON);
  });

  test(`${on} shutdown() answers the one in flight of a pipelined pair in full`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/wait") + request("/hello"));
    await fixture.arrived("/wait");
    const done = fixture.server.shutdown();
    if (engine === "bun") {
      // Bun closes the connection when a second request comes before the first is answered.
      await client.closed;
      assertEquals(client.received, "");
      fixture.open();
    } else {
      fixture.open();
      assertEquals((await client.response()).body, "waited");
      await client.closed;
    }
    await deadline(done, SOON);
  });

  // All three runtimes take the end of the client's side for its end, and tell the handler so: that
  // is how most clients go away. Go would answer.
  test(`${on} shutdown() takes a client that ends its side after its request for gone`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/wait"));
    client.socket.end();
    await fixture.arrived("/wait");
    await fixture.settled();
    const done = fixture.server.shutdown();
    fixture.open();
    const body = await client.response().then(({ body }) => body, () => "lost");
    assertEquals(body, "lost");
    await client.closed;
    await deadline(done, SOON);
  });

  test(`${on} shutdown() answers HTTP/1.0, and its connection closes`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write("GET /wait HTTP/1.0\r\n\r\n");
    await fixture.arrived("/wait");
    const done = fixture.server.shutdown();
    fixture.open();
    assertEquals((await client.response()).body, "waited");
    assertEquals(await client.closed, "end");
    await deadline(done, SOON);
  });

  for (const path of ["HEAD /wait", "/204", "/304"]) {
    test(`${on} shutdown() closes the connection of a response without a body: ${path}`, async () => {
      const fixture = await start(engine);
      const client = await connect(fixture.server.addr);
      client.write(request("/wait"));
      await fixture.arrived("/wait");
      const other = await connect(fixture.server.addr);
      other.write(path === "HEAD /wait" ? request(path) : `GET ${path} HTTP/1.1\r\nHost:`);
      await fixture.settled();
      const done = fixture.server.shutdown();
      await refusedAt(fixture);
      fixture.open();
      if (path !== "HEAD /wait" && closesNew) {
        await other.closed;
      } else {
        if (path !== "HEAD /wait") other.write(" test\r\n\r\n");
        const { status, headers } = await other.response(true);
        assertEquals(status, path === "HEAD /wait" ? 200 : Number(path.slice(1)));
        assertEquals(headers["connection"]?.toLowerCase(), "close");
        assertEquals(await other.closed, "end");
      }
      await client.response();
      await deadline(done, SOON);
    });
  }

  test(`${on} shutdown() does not wait for a client that vanishes`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr, { paused: true });
    client.write(request("/big-stream"));
    await fixture.arrived("/big-stream");
    const done = fixture.server.shutdown();
    client.vanish();
    await deadline(done, SOON);
    assertEquals(fixture.errors, []);
  });

  test(`${on} shutdown() keeps an idle connection for idleGrace, and its next request ends it`, async () => {
    const fixture = await start(engine);
    const [asks, silent] = [await keptAlive(fixture), await keptAlive(fixture)];
    const done = fixture.server.shutdown({ idleGrace: 300 });
    await refusedAt(fixture);
    const closesIdle = engine === "deno-serve" || (engine === "bun" && !hasKernelHelp);
    if (closesIdle) {
      // The listener cannot be closed without the idle connections.
      await asks.closed;
    } else {
      asks.write(request("/hello"));
      const response = await asks.response();
      assertEquals(response.body, "hello");
      assertEquals(response.headers["connection"]?.toLowerCase(), "close");
      await asks.closed;
    }
    assertEquals(await silent.closed, "end");
    const report = await deadline(done, SOON);
    assert(closesIdle || report.duration >= 300);
  });

  test(`${on} shutdown() closes nothing at its deadline, and names what is left`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/wait?secret"));
    await fixture.arrived("/wait");
    const error = await assertRejects(
      () => fixture.server.shutdown({ timeout: 50 }),
      ShutdownIncompleteError,
      "GET /wait",
    );
    assert(error.cause instanceof DOMException && error.cause.name === "TimeoutError");
    assertEquals(error.report.reason, "timeout");
    const [left] = error.report.connections;
    assertEquals([left?.state, left?.method, left?.path], ["active", "GET", "/wait"]);
    assert(left !== undefined && left.age >= 50);
    assertEquals(
      left.remoteAddr.transport === "tcp" && left.remoteAddr.port,
      client.socket.localPort,
    );
    assertEquals(fixture.server.state, "draining");
    // And the drain goes on, though nobody waits for it.
    fixture.open();
    assertEquals((await client.response()).body, "waited");
    await client.closed;
    await deadline(fixture.server.finished, SOON);
  });

  test(`${on} shutdown() joins the drain that is under way, with its own deadline`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/wait"));
    await fixture.arrived("/wait");
    const controller = new AbortController();
    const patient = fixture.server.shutdown();
    const hasty = fixture.server.shutdown({ timeout: 20 });
    const called = fixture.server.shutdown({ signal: controller.signal });
    await assertRejects(() => hasty, ShutdownIncompleteError);
    controller.abort("called off");
    const error = await assertRejects(() => called, ShutdownIncompleteError);
    assertEquals([error.cause, error.report.reason], ["called off", "aborted"]);
    fixture.open();
    await client.response();
    assertEquals((await deadline(patient, SOON)).reason, "drained");
    assertEquals((await fixture.server.shutdown({ timeout: 20 })).reason, "drained");
  });
}

/** Resolves when a new connection is refused: at once, but for Deno, which takes some turns. */
async function refusedAt(fixture: Fixture): Promise<void> {
  while (!await isRefused(fixture));
}
