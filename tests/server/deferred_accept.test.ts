/** The connections that Linux withholds from Bun until their first bytes, for up to a second. */
import { spawn } from "node:child_process";
import { test } from "node:test";
import http from "node:http";
import https from "node:https";
import type net from "node:net";
import process from "node:process";
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
import { DrivenServer } from "../../src/server/driven_server.ts";
import { connect, RawClient, request, webSocketUpgrade } from "../../support/client.ts";
import { listening } from "../support/adopted.ts";
import { hasKernelHelp, pem, runtime, start } from "../support/fixture.ts";
import { Program, run } from "../support/process.ts";
import { until } from "../../support/until.ts";

/** In ms. */
const SOON = 20_000;
/** The second for which the kernel withholds a connection, in ms. */
const WITHHELD = 1_000;
/** The number of ms in which the drain does what it does at once. */
const AT_ONCE = 800;
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

type Start = () => Server | Promise<Server>;

/** The servers of HTTP without TLS. */
const plain: Record<string, Start> = {
  "engine bun": () => onEngine({}),
  "engine bun, IPv6": () => onEngine({ hostname: "::1" }),
  "adopted Bun.serve": () => adoptBun(local),
  "adopted http.Server": () => adoptNode(http.createServer((_req, res) => void res.end("hello"))),
};

/** The servers with TLS. */
const secure: Record<string, Start> = {
  "engine bun, TLS": () => onEngine(pem),
  "adopted Bun.serve, TLS": () => adoptBun({ ...local, tls: pem }),
  "adopted https.Server": () =>
    adoptNode(https.createServer(pem, (_req, res) => void res.end("hello"))),
};

const kinds = { ...plain, ...secure };

/** Tests the servers at the same time, because the kernel takes its time with each. */
function onEach(
  starts: Record<string, Start>,
  name: string,
  run: (server: Server) => Promise<void>,
): void {
  test(`[bun, ${Object.keys(starts).length} kinds of servers] ${name}`, async () => {
    await Promise.all(
      Object.entries(starts).map(async ([kind, start]) => {
        try {
          await run(await start());
        } catch (cause) {
          throw new Error(`${kind}: ${cause}`, { cause });
        }
      }),
    );
  });
}

function states(server: Server): string[] {
  return server.connections().map(({ state }) => state);
}

/** Asserts that a new client is refused, and at once. */
async function refuses({ addr }: Server): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(() => connect(addr), Error);
  assert("code" in error);
  assertEquals(error.code, "ECONNREFUSED");
  const duration = performance.now() - start;
  assert(duration < AT_ONCE, `refused after ${duration} ms`);
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

/** The number of the sockets that take the place of a closed listener. They have an address that the kernel makes up. */
function placeholders(): number {
  const kernel = openKernelSockets()!;
  const addrs = [...kernel.listening()].map((fd) => kernel.addressOf(fd));
  return addrs.filter((addr) => addr?.transport !== "tcp").length;
}

function listenersAt(addr: Addr): number {
  return openKernelSockets()!.listeningAt(addr).length;
}

if (runtime === "bun" && hasKernelHelp) {
  for (const wait of [0, 300, 3_000]) {
    onEach(
      plain,
      `shutdown() serves a withheld connection whose request comes after ${wait} ms, and refuses others`,
      async (server) => {
        assertEquals(defersAccept(server.addr), true);
        const client = await connect(server.addr);
        await sleep(100);
        assertEquals(states(server), ["new"]);
        const done = server.shutdown({ timeout: SOON });
        await refuses(server);
        assertEquals(states(server), ["new"]);
        await sleep(wait);
        await refuses(server);
        await answers(client);
        assertEquals((await deadline(done, SOON)).reason, "drained");
        await refuses(server);
      },
    );
  }

  for (const age of [0, 500, 990, WITHHELD, 4_900]) {
    onEach(plain, `shutdown() serves a silent connection that is ${age} ms old`, async (server) => {
      const client = await connect(server.addr);
      await sleep(age);
      const done = server.shutdown({ timeout: SOON });
      const refused = refuses(server);
      await answers(client);
      assertEquals((await deadline(done, SOON)).reason, "drained");
      await refused;
    });
  }

  onEach(
    plain,
    "shutdown() closes a withheld connection that stays silent, 5 s after its start",
    async (server) => {
      const opened = performance.now();
      const client = await connect(server.addr);
      const report = await deadline(server.shutdown({ timeout: SOON }), SOON);
      await deadline(client.closed, SOON);
      const age = performance.now() - opened;
      assert(age > NEW_CONN_LIFETIME - 10, `closed after ${age} ms`);
      assert(age < NEW_CONN_LIFETIME + AT_ONCE, `closed after ${age} ms`);
      assertEquals([report.idle, report.drained, report.forced], [1, 0, 0]);
    },
  );

  onEach(plain, "connections() counts the age of a connection from its start", async (server) => {
    const opened = performance.now();
    await connect(server.addr);
    await sleep(500);
    const ages = [server.connections()[0]!.age];
    await sleep(WITHHELD);
    ages.push(server.connections()[0]!.age);
    const age = performance.now() - opened;
    // The kernel counts in steps.
    assert(ages[0]! > 450 && ages[1]! > WITHHELD + 400 && ages[1]! < age + 50, ages.join());
    await server.close();
  });

  test("[bun] headerTimeout counts the time for which the kernel withholds a connection", async () => {
    const limit = 2 * WITHHELD;
    const { server } = await start("bun", { headerTimeout: limit });
    assertEquals(defersAccept(server.addr), true);
    const client = await connect(server.addr);
    const opened = performance.now();
    await deadline(client.closed, SOON);
    const age = performance.now() - opened;
    assert(age > limit - 50 && age < 1.5 * limit - 100, `closed after ${age} ms`);
    await server.close();
  });

  onEach(
    secure,
    "shutdown() serves a withheld connection whose handshake comes during the drain",
    async (server) => {
      const { socket } = await connect(server.addr);
      const done = server.shutdown({ timeout: SOON });
      await refuses(server);
      await sleep(300);
      socket.removeAllListeners("data");
      const overTls = tls.connect({ socket, rejectUnauthorized: false });
      overTls.on("end", () => overTls.end());
      await answers(new RawClient(overTls));
      assertEquals((await deadline(done, SOON)).reason, "drained");
    },
  );

  onEach(kinds, "shutdown() does not wait if no connection is withheld", async (server) => {
    const { duration } = await deadline(server.shutdown(), SOON);
    assert(duration < AT_ONCE, `it took ${duration} ms`);
  });

  for (const end of ["ends", "is reset"] as const) {
    onEach(
      kinds,
      `shutdown() does not wait for a withheld connection whose client ${end}`,
      async (server) => {
        const client = await connect(server.addr);
        const done = server.shutdown({ timeout: SOON });
        await refuses(server);
        if (end === "ends") client.socket.end();
        else client.vanish();
        const { duration } = await deadline(done, SOON);
        assert(duration < AT_ONCE, `it took ${duration} ms`);
        await deadline(client.closed, SOON);
      },
    );
  }

  for (const isDraining of [false, true]) {
    onEach(
      kinds,
      `close() ends all at once ${
        isDraining ? "in" : "without"
      } a drain, but a withheld connection within the second`,
      async (server) => {
        const open = await connect(server.addr);
        // With TLS, a part of a handshake.
        open.write(server.url.startsWith("https") ? "\x16\x03\x01\x02\x00" : "GET / HTTP/1.1\r\n");
        await until(() => states(server).join(), () => server.connections().length > 0);
        const withheld = await connect(server.addr);
        const opened = performance.now();
        const drained = isDraining ? server.shutdown() : undefined;
        const closed = server.close();
        await deadline(open.closed, AT_ONCE);
        await refuses(server);
        await deadline(withheld.closed, SOON);
        const age = performance.now() - opened;
        assert(age < WITHHELD + AT_ONCE, `closed after ${age} ms`);
        await deadline(closed, SOON);
        await refuses(server);
        assertEquals(listenersAt(server.addr), 0);
        await drained;
      },
    );
  }

  for (const [kind, start] of Object.entries(plain)) {
    test(`[bun, ${kind}] close() in a drain that empties the accept queue leaves no descriptor open`, async () => {
      const end = async () => {
        const server = await start();
        const clients = await Promise.all(Array.from({ length: 20 }, async () => {
          const client = await connect(server.addr);
          client.write(request("/hello"));
          return client;
        }));
        // In this turn of the event loop the server accepts none of the last clients.
        const done = Promise.all([server.shutdown(), server.close()]);
        await deadline(Promise.all(clients.map(({ closed }) => closed)), SOON);
        await deadline(done, SOON);
      };
      await end();
      const before = placeholders();
      await end();
      assertEquals(placeholders(), before);
    });
  }

  onEach(
    plain,
    "shutdown() reports a withheld connection at its deadline, and goes on",
    async (server) => {
      const client = await connect(server.addr);
      const failed = await assertRejects(
        () => server.shutdown({ timeout: 100 }),
        ShutdownIncompleteError,
      );
      assertEquals(failed.report.connections.map(({ state }) => state), ["new"]);
      await refuses(server);
      await answers(client);
      await deadline(server.finished, SOON);
    },
  );

  for (const [kind, start] of Object.entries(plain)) {
    test(`[bun, ${kind}] shutdown() serves a flood of silent connections`, async () => {
      const server = await start();
      const clients = await Promise.all(
        Array.from({ length: FLOOD }, () => connect(server.addr)),
      );
      const done = server.shutdown({ timeout: SOON });
      await sleep(200);
      await refuses(server);
      await Promise.all(clients.map(answers));
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

  test("[bun] shutdown() has responses say close although the accept queue is not empty yet", async () => {
    const fixture = await start("bun");
    const { server } = fixture;
    const busy = await connect(server.addr);
    busy.write(request("/wait"));
    await fixture.arrived("/wait");
    const waiting = await Promise.all(Array.from({ length: 100 }, async () => {
      const client = await connect(server.addr);
      client.write(request("/hello"));
      return client;
    }));
    const done = server.shutdown({ timeout: SOON });
    fixture.open();
    for (const client of [busy, ...waiting]) {
      assertEquals((await deadline(client.response(), SOON)).headers["connection"], "close");
    }
    await deadline(done, SOON);
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

  test("[bun] shutdown() tells a WebSocket at once that the server goes away, although a connection is withheld", async () => {
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

  test("[bun] startLameDuck() has the kernel withhold no more connections, and a withheld connection is served", async () => {
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

  test("[bun] shutdown() serves a withheld connection of which the kernel does not tell", async () => {
    const { handshakesAt } = KernelSockets.prototype;
    const { server } = await start("bun");
    const client = await connect(server.addr);
    KernelSockets.prototype.handshakesAt = () => undefined;
    try {
      const done = server.shutdown({ timeout: SOON });
      await refuses(server);
      await sleep(300);
      await answers(client);
      const { reason, duration } = await deadline(done, SOON);
      assertEquals(reason, "drained");
      assert(duration > WITHHELD, `it took ${duration} ms`);
    } finally {
      KernelSockets.prototype.handshakesAt = handshakesAt;
    }
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

  test("[bun] adopt() leaves the kernel to withhold connections from a server with reusePort that is alone", async () => {
    const one = adoptBun({ ...local, reusePort: true });
    assert(one.addr.transport === "tcp");
    assertEquals(defersAccept(one.addr), true);
    const client = await connect(one.addr);
    assertEquals(states(one), ["new"]);
    const done = one.shutdown({ timeout: SOON });
    await refuses(one);
    await answers(client);
    await deadline(done, SOON);
  });

  test("[bun] adopt() has the kernel withhold no connection from a server that shares its port", async () => {
    const options = { ...local, reusePort: true };
    const native = bun().serve({ ...options, fetch: () => new Response("hello") });
    assert(typeof native.address === "object");
    const theirs = JSON.stringify({ ...options, port: native.address.port });
    const program = `Bun.serve({ ...${theirs}, fetch() {} }); console.log("listening")`;
    const other = new Program(spawn(process.execPath, ["-e", program]));
    await other.says(/listening/);
    // The cast: the package declares only what it uses of the server.
    const server = adopt(native as unknown as NativeServer);
    assertEquals(defersAccept(server.addr), false);
    await server.close();
    other.kill();
  });

  const exceptions = [{ handoff: "inherit" }, { reusePort: true }, {
    headerTimeout: WITHHELD,
  }] as const;
  for (const options of exceptions) {
    test(`[bun] serve() has the kernel withhold no connection with ${JSON.stringify(options)}`, async () => {
      const { server } = await start("bun", options);
      assertEquals(defersAccept(server.addr), false);
      await server.close();
    });
  }

  const loads: readonly [string, number, (port: number) => Server | Promise<Server>][] = [
    ["engine bun", 0, (port) => serve(() => new Response("hello"), { ...local, port })],
    ["engine bun", 300, (port) => serve(() => new Response("hello"), { ...local, port })],
    ["adopted Bun.serve", 0, (port) => adoptBun({ ...local, port })],
    [
      "adopted http.Server",
      0,
      (port) => adoptNode(http.createServer((_req, res) => void res.end("hello")), port),
    ],
  ];
  for (const [kind, longest, begin] of loads) {
    test(`[bun, ${kind}] shutdown() called 20 times loses none of 50 clients with a connection for each request, sent within ${longest} ms`, async () => {
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
} else {
  test(`[${runtime}] shutdown() takes in no withheld connections here`, () => {});
}
