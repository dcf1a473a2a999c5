/** The connections that Linux withholds from Bun until their first bytes, for up to a second. */
import { test } from "node:test";
import http from "node:http";
import https from "node:https";
import type net from "node:net";
import tls from "node:tls";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import {
  type Addr,
  adopt,
  type NativeServer,
  serve,
  type ServeOptions,
  type Server,
  ShutdownIncompleteError,
} from "../../mod.ts";
import { bun } from "../../src/runtime/api/bun.ts";
import { KernelSockets, openKernelSockets } from "../../src/runtime/linux/kernel_sockets.ts";
import { NEW_CONN_LIFETIME } from "../../src/server/conn_table.ts";
import { DrivenServer } from "../../src/server/server.ts";
import { connect, RawClient, request, webSocketUpgrade } from "../../support/client.ts";
import { listening } from "../support/adopted.ts";
import { hasKernelHelp, pem, runtime, start } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 20_000;
/** The second for which the kernel withholds a connection, in ms. */
const WITHHELD = 1_000;
/** The number of ms in which the drain does what it does at once. */
const AT_ONCE = 400;
/** More than the queue of handshakes of a listener of Bun. */
const FLOOD = 600;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const local = { port: 0, hostname: "127.0.0.1" } as const;

function adoptBun(options: Record<string, unknown>): Server {
  const native = bun().serve({ idleTimeout: 0, fetch: () => new Response("hello"), ...options });
  // The cast: the package declares only what it uses of the server.
  return adopt(native as unknown as NativeServer);
}

async function adoptNode(native: net.Server, port = 0): Promise<Server> {
  if (port === 0) await listening(native);
  else await new Promise<void>((resolve) => native.listen(port, "127.0.0.1", resolve));
  return adopt(native);
}

const onEngine = async (options: ServeOptions) => (await start("bun", options)).server;

interface Kind {
  start(): Server | Promise<Server>;
  readonly isTls?: boolean;
}

const kinds: Record<string, Kind> = {
  "engine bun": { start: () => onEngine({}) },
  "engine bun, IPv6": { start: () => onEngine({ hostname: "::1" }) },
  "engine bun, TLS": { start: () => onEngine(pem), isTls: true },
  "adopted Bun.serve": { start: () => adoptBun(local) },
  "adopted Bun.serve, TLS": { start: () => adoptBun({ ...local, tls: pem }), isTls: true },
  "adopted http.Server": {
    start: () => adoptNode(http.createServer((_req, res) => void res.end("hello"))),
  },
  "adopted https.Server": {
    start: () => adoptNode(https.createServer(pem, (_req, res) => void res.end("hello"))),
    isTls: true,
  },
};

/** Asserts that a new client is refused, and at once. */
async function refuses({ addr }: Server): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(() => connect(addr), Error);
  assert("code" in error);
  assertEquals(error.code, "ECONNREFUSED");
  assert(performance.now() - start < AT_ONCE);
}

async function answers(client: RawClient): Promise<void> {
  client.write(request("/hello", "Connection: close"));
  assertEquals((await deadline(client.response(), SOON)).body, "hello");
  await deadline(client.closed, SOON);
}

function defersAccept(addr: Addr): boolean {
  const kernel = openKernelSockets()!;
  return kernel.listeningAt(addr).some((fd) => kernel.defersAccept(fd));
}

if (runtime === "bun" && hasKernelHelp) {
  for (const [kind, { start, isTls = false }] of Object.entries(kinds)) {
    const on = `[bun, ${kind}]`;

    if (!isTls) {
      for (const wait of [0, 300, 3_000]) {
        test(`${on} shutdown() serves a withheld connection whose request comes after ${wait} ms, and refuses others`, async () => {
          const server = await start();
          assertEquals(defersAccept(server.addr), true);
          const client = await connect(server.addr);
          await sleep(100);
          assertEquals(server.connections().map(({ state }) => state), ["new"]);
          const done = server.shutdown({ timeout: SOON });
          await refuses(server);
          assertEquals(server.connections().map(({ state }) => state), ["new"]);
          await sleep(wait);
          await refuses(server);
          await answers(client);
          assertEquals((await deadline(done, SOON)).reason, "drained");
          await refuses(server);
        });
      }

      for (const age of [0, 500, 990, WITHHELD, 4_900]) {
        test(`${on} shutdown() serves a silent connection that is ${age} ms old`, async () => {
          const server = await start();
          const client = await connect(server.addr);
          await sleep(age);
          const done = server.shutdown({ timeout: SOON });
          await refuses(server);
          await answers(client);
          assertEquals((await deadline(done, SOON)).reason, "drained");
        });
      }

      test(`${on} shutdown() closes a withheld connection that stays silent, 5 s after the second`, async () => {
        const server = await start();
        const opened = performance.now();
        const client = await connect(server.addr);
        const report = await deadline(server.shutdown({ timeout: SOON }), SOON);
        await deadline(client.closed, SOON);
        const age = performance.now() - opened;
        assert(age > NEW_CONN_LIFETIME - 10, `closed after ${age} ms`);
        assert(age < NEW_CONN_LIFETIME + WITHHELD + AT_ONCE, `closed after ${age} ms`);
        assertEquals([report.idle, report.drained, report.forced], [1, 0, 0]);
      });
    }

    if (isTls) {
      test(`${on} shutdown() serves a withheld connection whose handshake comes during the drain`, async () => {
        const server = await start();
        const { socket } = await connect(server.addr);
        const done = server.shutdown({ timeout: SOON });
        await refuses(server);
        await sleep(300);
        socket.removeAllListeners("data");
        const secure = tls.connect({ socket, rejectUnauthorized: false });
        secure.on("end", () => secure.end());
        await answers(new RawClient(secure));
        assertEquals((await deadline(done, SOON)).reason, "drained");
      });
    }

    test(`${on} shutdown() does not wait if no connection is withheld`, async () => {
      const server = await start();
      const { duration } = await deadline(server.shutdown(), SOON);
      assert(duration < AT_ONCE, `it took ${duration} ms`);
    });

    for (const end of ["ends", "is reset"] as const) {
      test(`${on} shutdown() does not wait for a withheld connection whose client ${end}`, async () => {
        const server = await start();
        const client = await connect(server.addr);
        const done = server.shutdown({ timeout: SOON });
        await refuses(server);
        if (end === "ends") client.socket.end();
        else client.vanish();
        const { duration } = await deadline(done, SOON);
        assert(duration < AT_ONCE, `it took ${duration} ms`);
        await deadline(client.closed, SOON);
      });
    }

    test(`${on} close() does not wait for a withheld connection`, async () => {
      const server = await start();
      const client = await connect(server.addr);
      const done = server.shutdown();
      const closing = performance.now();
      await deadline(server.close(), SOON);
      await refuses(server);
      await deadline(done, SOON);
      assert(performance.now() - closing < AT_ONCE);
      client.vanish();
    });

    test(`${on} shutdown() reports a withheld connection at its deadline, and goes on`, async () => {
      const server = await start();
      const client = await connect(server.addr);
      const failed = await assertRejects(
        () => server.shutdown({ timeout: 100 }),
        ShutdownIncompleteError,
      );
      assertEquals(failed.report.connections.map(({ state }) => state), ["new"]);
      await refuses(server);
      if (!isTls) await answers(client);
      else client.vanish();
      await deadline(server.finished, SOON);
    });

    test(`${on} shutdown() serves a flood of silent connections`, async () => {
      const server = await start();
      const clients = await Promise.all(
        Array.from({ length: FLOOD }, () => connect(server.addr)),
      );
      const done = server.shutdown({ timeout: SOON });
      await refuses(server);
      await sleep(200);
      if (isTls) { for (const client of clients) client.vanish(); }
      else await Promise.all(clients.map(answers));
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });
  }

  test("[bun] shutdown() ends what is open at once, although a connection is withheld", async () => {
    const fixture = await start("bun", {
      websocket: { message() {} },
    });
    const { server } = fixture;
    const [idle, busy] = [await connect(server.addr), await connect(server.addr)];
    idle.write(request("/hello"));
    await deadline(idle.response(), SOON);
    busy.write(request("/wait"));
    await fixture.arrived("/wait");
    let isHookCalled = false;
    server.onShutdown(() => isHookCalled = true);
    const withheld = await connect(server.addr);
    const begun = performance.now();
    const done = server.shutdown({ timeout: SOON });
    await deadline(idle.closed, SOON);
    assert(isHookCalled);
    assert(server.draining.aborted);
    fixture.open();
    const { headers, body } = await deadline(busy.response(), SOON);
    assertEquals([headers["connection"], body], ["close", "waited"]);
    await deadline(busy.closed, SOON);
    assert(performance.now() - begun < AT_ONCE);
    assertEquals(server.connections().map(({ state }) => state), ["new"]);
    await answers(withheld);
    const report = await deadline(done, SOON);
    assert(performance.now() - begun < AT_ONCE);
    assertEquals([report.idle, report.drained, report.forced], [1, 2, 0]);
  });

  test("[bun] shutdown() keeps idle connections open for idleGrace, although a connection is withheld", async () => {
    const { server } = await start("bun");
    const idle = await connect(server.addr);
    idle.write(request("/hello"));
    await deadline(idle.response(), SOON);
    const withheld = await connect(server.addr);
    const done = server.shutdown({ timeout: SOON, idleGrace: 2_000 });
    await refuses(server);
    await answers(withheld);
    await sleep(WITHHELD);
    idle.write(request("/hello"));
    const { headers } = await deadline(idle.response(), SOON);
    assertEquals(headers["connection"], "close");
    const { duration } = await deadline(done, SOON);
    assert(duration < 2_000, `it took ${duration} ms`);
  });

  test("[bun] a WebSocket is told at once that the server goes away, although a connection is withheld", async () => {
    const server = await serve((req, info) => {
      // The cast: with this engine `native` is the server of Bun.
      const { upgrade } = info.native as { upgrade(request: Request): boolean };
      // The cast: Bun takes no response for an upgraded request.
      if (upgrade(req)) return undefined as unknown as Response;
      return new Response("hello");
    }, { ...local, websocket: { message() {} } });
    const client = await connect(server.addr);
    client.write(webSocketUpgrade);
    assertEquals((await deadline(client.head(), SOON)).status, 101);
    const withheld = await connect(server.addr);
    const begun = performance.now();
    const done = server.shutdown({ timeout: SOON });
    // A close frame with the code 1001.
    assertEquals(await deadline(client.bytes(4), SOON), "\x88\x02\x03\xe9");
    assert(performance.now() - begun < AT_ONCE);
    client.vanish();
    await answers(withheld);
    await deadline(done, SOON);
  });

  test("[bun] serve() on a port waits for the listener that still takes in withheld connections", async () => {
    const one = (await start("bun")).server;
    assert(one.addr.transport === "tcp");
    const { port } = one.addr;
    const client = await connect(one.addr);
    const done = one.shutdown({ timeout: SOON });
    const begun = performance.now();
    const other = (await start("bun", { port })).server;
    assert(performance.now() - begun < 2 * WITHHELD);
    const theirs = await connect(other.addr);
    await answers(theirs);
    await answers(client);
    await deadline(done, SOON);
    await other.close();
  });

  test("[bun] a connection is withheld at most until the lame duck, and is then served", async () => {
    const { server } = await start("bun");
    assert(server instanceof DrivenServer);
    const client = await connect(server.addr);
    server.startLameDuck();
    assertEquals(defersAccept(server.addr), false);
    const done = server.shutdown({ timeout: SOON });
    await sleep(300);
    await answers(client);
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });

  test("[bun] serve() has the kernel withhold no connection that it could not take in", async () => {
    const { canTakeInWithheld } = KernelSockets.prototype;
    KernelSockets.prototype.canTakeInWithheld = () => false;
    try {
      const { server } = await start("bun");
      assertEquals(defersAccept(server.addr), false);
      await server.close();
    } finally {
      KernelSockets.prototype.canTakeInWithheld = canTakeInWithheld;
    }
  });

  for (const options of [{ handoff: "inherit" }, { reusePort: true }] as const) {
    test(`[bun] serve() has the kernel withhold no connection with ${Object.keys(options)}`, async () => {
      const { server } = await start("bun", options);
      assertEquals(defersAccept(server.addr), false);
      await server.close();
    });
  }

  for (const longest of [0, 300]) {
    for (
      const [kind, begin] of Object.entries({
        "engine bun": (port: number) => serve(() => new Response("hello"), { ...local, port }),
        "adopted Bun.serve": (port: number) => adoptBun({ ...local, port }),
        "adopted http.Server": (port: number) =>
          adoptNode(http.createServer((_req, res) => void res.end("hello")), port),
      })
    ) {
      test(`[bun, ${kind}] 20 shutdowns lose none of 50 clients with a connection for each request, sent within ${longest} ms`, async () => {
        let server = await begin(0);
        assert(server.addr.transport === "tcp");
        const { port } = server.addr;
        const clients = run("hasty_clients.ts", [String(port), "50", String(longest)]);
        await clients.says(/asking/);
        for (let i = 0; i < 20; i++) {
          await sleep(50 + 10 * i);
          const { reason } = await deadline(server.shutdown({ timeout: SOON }), SOON);
          assertEquals(reason, "drained");
          server = await begin(port);
        }
        await sleep(100);
        clients.signal("SIGTERM");
        const said = await deadline(clients.says(/answered: (\d+, lost: \d+);/), SOON);
        assert(/^[1-9]\d*, lost: 0$/.test(said), said);
        await server.close();
      });
    }
  }
} else {
  test(`[${runtime}] the kernel withholds no connection here`, () => {});
}
