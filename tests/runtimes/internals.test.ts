/**
 * What this package uses of the runtimes beyond their public API: which of it is there on this version, and
 * that a server serves and shuts down without each of it.
 */
import { channel } from "node:diagnostics_channel";
import { once } from "node:events";
import http from "node:http";
import type net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import {
  type Addr,
  adopt,
  type Engine,
  listen,
  serve,
  type ServeOptions,
  type Server,
  serveTcp,
} from "../../mod.ts";
import { internals as deno } from "../../src/runtime/deno/internals.ts";
import { activeResources } from "../../src/runtime/host/active_resources.ts";
import { hostInternals } from "../../src/runtime/host/internals.ts";
import { mayBeFreshSession } from "../../src/runtime/deno/protocol.ts";
import { internals as node, type NodeInternals } from "../../src/runtime/node/internals.ts";
import type { DenoInfo } from "../../src/runtime/api/deno.ts";
import { connect, request } from "../../support/client.ts";
import { until } from "../../support/until.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";
import { Http2Client } from "../support/http2_client.ts";
import { RawWebSocket } from "../../support/raw_web_socket.ts";
import { kinds, type WebSocketFixture } from "../../support/web_socket_servers.ts";

/** In ms. */
const SOON = 10_000;

/** What each member of the Node internals returns where the runtime does not have it. */
const NODE_ABSENT: { [Name in keyof NodeInternals]: () => ReturnType<NodeInternals[Name]> } = {
  handleOf: () => undefined,
  boundKeyOf: () => undefined,
  createServerHandle: () => {
    throw new Error("no net._createServerHandle");
  },
  listenOnHandle: () => false,
  interceptAccepted: () => () => {},
  newestRequest: () => undefined,
  discardBody: () => {},
  hasParser: () => false,
  responseOf: () => undefined,
  acceptedBy: () => [],
  openTlsSockets: () => [],
  acceptedSocketOf: () => undefined,
  httpConnectionsOf: () => undefined,
  canFindConnections: () => false,
  sessionsOf: () => [],
  streamsOf: () => [],
  requestOf: () => undefined,
  socketOf: () => undefined,
  heldResponse: () => undefined,
  destroySoonOf: () => undefined,
  seemToListen: () => {},
  stopConnectionChecks: () => {},
  closeIfIdleOnBun: () => false,
  subscribersOf: () => undefined,
  webSocketOf: () => undefined,
};

/** The same for Deno's, but for what has tests of its own below. */
const DENO_ABSENT = {
  servingResource: (_core: unknown, serve: () => void) => {
    serve();
    return -1;
  },
  webSocketOf: () => undefined,
  resourceOf: () => -1,
  hasWebSockets: () => false,
  closeWebSocket: (socket: WebSocket, code: number, reason: string) => socket.close(code, reason),
  headerOf: (request: Request, name: string) => request.headers.get(name),
  uploadOf: () => undefined,
  readInPieces: () => {},
  staticBodyOf: () => undefined,
  isHttp2OnStack: () => undefined,
  leastHeadSize: () => 0,
};

/** Options with which the engine "deno" accepts and serves each connection by itself. */
const acceptLoop: ServeOptions = { onConnState: () => {} };

/** The ways in which an engine serves, by options. */
const WAYS: { [Name in Engine]?: Record<string, ServeOptions> } = {
  deno: { deno: {}, "deno, accept loop": acceptLoop },
};

/** Calls the function while a member of an object is replaced. */
async function without<T extends object, K extends keyof T>(
  object: T,
  name: K,
  replacement: T[K],
  fn: () => Promise<void>,
): Promise<void> {
  const original = object[name];
  object[name] = replacement;
  try {
    await fn();
  } finally {
    object[name] = original;
  }
}

/** A server answers what is in flight, and closes what is idle, within a second or so. */
async function drains(server: Server, begin: () => Promise<unknown>, open: () => void) {
  const idle = await connect(server.addr);
  idle.write(request("/hello"));
  assertEquals((await deadline(idle.response(), SOON)).body, "hello");
  const active = await connect(server.addr);
  active.write(request("/wait"));
  await deadline(begin(), SOON);
  const done = server.shutdown({ timeout: SOON });
  await deadline(idle.closed, SOON);
  open();
  assertEquals((await deadline(active.response(), SOON)).body, "waited");
  assertEquals((await deadline(done, SOON)).reason, "drained");
}

const cases = engines.filter((engine) => engine !== "bun").flatMap((engine) =>
  Object.entries(WAYS[engine] ?? { [engine]: {} }).map(([way, options]) =>
    [engine, way, options] as const
  )
);

for (const [engine, way, options] of cases) {
  const [members, absent] = engine === "node" ? [node, NODE_ABSENT] : [deno, DENO_ABSENT];
  for (const [name, replacement] of Object.entries(absent)) {
    test(`[${runtime}, ${way}] shutdown() drains without the internal ${name}`, async () => {
      // The cast: each replacement is of the type of what it replaces.
      await without(members as never, name as never, replacement as never, async () => {
        const fixture = await start(engine, options);
        await drains(fixture.server, () => fixture.arrived("/wait"), () => fixture.open());
      });
    });
  }
}

for (const [name, replacement] of Object.entries(NODE_ABSENT)) {
  test(`[${runtime}] adopt() drains a server of node:http without the internal ${name}`, async () => {
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const native = http.createServer(async (req, res) => {
      if (req.url !== "/wait") return void res.end("hello");
      arrived.resolve();
      await gate.promise;
      res.end("waited");
    });
    native.listen(0, "127.0.0.1");
    await once(native, "listening");
    // The cast: each replacement is of the type of what it replaces.
    await without(node, name as never, replacement as never, async () => {
      await drains(adopt(native), () => arrived.promise, gate.resolve);
    });
  });
}

test(`[${runtime}] serveTcp() over TLS serves without the internal acceptedSocketOf`, async () => {
  await without(node, "acceptedSocketOf", () => undefined, async () => {
    const server = await serveTcp(async ({ readable, writable, setState }) => {
      const writer = writable.getWriter();
      for await (const chunk of readable) {
        await writer.write(chunk);
        setState("idle");
      }
    }, { port: 0, hostname: "127.0.0.1", ...pem });
    const clients = [
      await connect(server.addr, { tls: {} }),
      await connect(server.addr, { tls: {} }),
    ];
    for (const client of clients) {
      client.write("hello");
      assertEquals(await deadline(client.take(/hello/), SOON), "hello");
    }
    assertEquals(server.connections().length, 2);
    await deadline(server.shutdown(), SOON);
    await Promise.all(clients.map(({ closed }) => deadline(closed, SOON)));
  });
});

if (runtime === "node") {
  test("[node] listen() fails with the reason without the internal createServerHandle", async () => {
    await without(node, "createServerHandle", NODE_ABSENT.createServerHandle, async () => {
      const where = { port: 0, hostname: "127.0.0.1" };
      await assertRejects(() => listen(where), Error, "_createServerHandle");
    });
  });
}

if (runtime === "deno") {
  test("[deno] serve() takes the engine Deno.serve without the internal connectionServing", async () => {
    await without(deno, "connectionServing", () => undefined, async () => {
      for (const engine of ["auto", "deno"]) {
        // The cast: the types of the fixture know no "auto".
        const { server } = await start(engine as "deno");
        assertEquals(server.engine, "deno-serve");
        await server.shutdown();
      }
    });
    const { server } = await start("auto" as "deno");
    assertEquals(server.engine, "deno");
    await server.shutdown();
  });

  test("[deno] shutdown() drains where the text of Deno's error has changed", async () => {
    await without(deno, "isDelivered", () => false, async () => {
      await without(deno, "showsDelivery", undefined, async () => {
        for (let i = 0; i < 2; i++) {
          const fixture = await start("deno", acceptLoop);
          await drains(fixture.server, () => fixture.arrived("/wait"), () => fixture.open());
        }
        assertEquals(deno.showsDelivery, false);
      });
    });
  });

  test("[deno] serve() serves each connection by itself without the internal serveHttpOnListener", async () => {
    const { serveHttpOnListener: _, ...rest } = deno.connectionServing()!;
    await without(deno, "connectionServing", () => rest, async () => {
      const fixture = await start("deno");
      await drains(fixture.server, () => fixture.arrived("/wait"), () => fixture.open());
    });
  });

  test("[deno] serve() takes the engine node for names without the internal certificateResolver", async () => {
    const certificates = [{ serverName: "api.example.com", ...pem }];
    const options = { ...pem, certificates };
    await without(deno, "certificateResolver", () => undefined, async () => {
      // The cast: the types of the fixture know no "auto".
      const { server } = await start("auto" as "deno", options);
      assertEquals(server.engine, "node");
      await server.shutdown();
      await assertRejects(() => start("deno", options), TypeError, "'certificates' must be absent");
    });
    const { server } = await start("auto" as "deno", options);
    assertEquals(server.engine, "deno");
    await server.shutdown();
  });

  test("[deno] internals.ts finds each internal in this version", async () => {
    assertEquals(typeof deno.certificateResolver(), "symbol");
    assert(deno.connectionServing()?.serveHttpOnListener !== undefined);
    assertEquals(deno.staticBodyOf(new Response("probe")), "probe");
    const infos: DenoInfo[] = [];
    const seen: unknown[] = [];
    const probed = await serve((request, { native }) => {
      // The cast: the engine "deno" gives its handlers this info.
      infos.push(native as DenoInfo);
      // Asked for after the delivery it would never settle.
      void (native as DenoInfo).completed;
      seen.push(deno.headerOf(request, "host"), deno.uploadOf(request));
      seen.push(deno.isDelivered(native as DenoInfo));
      return new Response("probed");
    }, { port: 0, hostname: "127.0.0.1", engine: "deno", ...acceptLoop });
    const client = await connect(probed.addr);
    client.write(request("/"));
    await deadline(client.response(), SOON);
    await deadline(infos[0]!.completed, SOON);
    assertEquals(deno.isDelivered(infos[0]!), true);
    assertEquals(deno.showsDelivery, true);
    client.write(request("/", "Content-Length: 100000").replace("GET", "POST"));
    await deadline(client.response(), SOON);
    const upload = { isReadable: true, hasResource: true, isComplete: false };
    assertEquals(seen, ["test", undefined, false, "test", upload, false]);
    await probed.close(); // Without the number of its resource the connection would have stayed open.
    await deadline(client.closed, SOON);
  });
}

if (runtime === "deno") {
  test("[deno] internals.ts tells HTTP/1 from HTTP/2 by the stack, and the least size of a head", async () => {
    const seen: unknown[] = [];
    const fixture = await serve((request) => {
      seen.push(deno.isHttp2OnStack(), deno.leastHeadSize(request));
      return new Response("probed");
    }, { port: 0, hostname: "127.0.0.1", engine: "deno" });
    const client = await connect(fixture.addr);
    const head = "GET /path?query HTTP/1.1\r\nHost:test\r\nA:b\r\n\r\n";
    client.write(head);
    await deadline(client.response(), SOON);
    const session = await Http2Client.connect(fixture.addr, { plain: true });
    session.get(1, "/path");
    await deadline(session.receives(({ type }) => type === "DATA"), SOON);
    assertEquals(seen.slice(0, 3), [false, head.length, true]);
    session.vanish();
    await fixture.close();
  });

  test("[deno] mayBeFreshSession() recognizes an HTTP/2 session by the frames with which it begins", async () => {
    const written: number[] = [];
    const { Deno } = globalThis as unknown as {
      Deno: {
        serve(options: object, handler: () => never): {
          addr: { port: number };
          shutdown(): Promise<void>;
        };
      };
    };
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
      throw new Error("no request comes");
    });
    const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port: server.addr.port };
    for (const pings of [0, 1, 2, 3]) {
      const client = await Http2Client.connect(addr, { plain: true });
      await client.receives(({ type, flags }) => type === "SETTINGS" && flags === 1);
      for (let i = 0; i < pings; i++) void client.pong();
      while (client.frames.filter(({ type }) => type === "PING").length < pings) await delay(1);
      written.push(client.bytesReceived);
      client.vanish();
    }
    assertEquals(written, [55, 72, 89, 106]);
    assertEquals([46, ...written].map(mayBeFreshSession), [true, true, true, true, true]);
    assertEquals([0, 64, 75, 120, 123].map(mayBeFreshSession), Array(5).fill(false));
    await server.shutdown();
  });
}

/** Starts a server with a WebSocket, and a hook that says something when it has ended a turn later. */
async function openWebSocket(kind: string): Promise<WebSocketFixture & { client: RawWebSocket }> {
  const fixture = await kinds[kind]!.start();
  const { server, sockets } = fixture;
  const client = await deadline(RawWebSocket.open(server.addr), SOON);
  await until(() => "a WebSocket", () => sockets.size > 0 || undefined);
  server.onShutdown(async () => {
    await sleep(20);
    for (const socket of sockets) socket.send("last");
  });
  return { ...fixture, client };
}

test(`[${runtime}] adopt() sends a WebSocket of ws no close frame without the internal webSocketOf`, async () => {
  await without(node, "webSocketOf", () => undefined, async () => {
    const { server, client } = await openWebSocket("adopted ws");
    await assertRejects(() => server.shutdown({ timeout: 200 }), Error, "hijacked");
    assertEquals(await deadline(client.text(), SOON), "last");
    client.answerClose();
    assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
    await deadline(server.shutdown(), SOON);
  });
});

if (runtime === "deno") {
  for (const engine of ["deno", "deno-serve"]) {
    test(`[deno, ${engine}] shutdown() closes WebSockets without the internal closeWebSocket`, async () => {
      await without(deno, "closeWebSocket", DENO_ABSENT.closeWebSocket, async () => {
        const { server, client } = await openWebSocket(engine);
        const done = server.shutdown();
        assertEquals(await deadline(client.text(), SOON), "last");
        assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
        client.answerClose();
        assertEquals((await deadline(done, SOON)).reason, "drained");
      });
    });
  }

  test("[deno] adopt() ends WebSockets of Deno.serve before the hooks without the internal hasWebSockets", async () => {
    await without(deno, "hasWebSockets", () => false, async () => {
      const { server, client } = await openWebSocket("adopted Deno.serve");
      const done = server.shutdown();
      assertEquals(await deadline(client.closeFrame(), SOON), [1001, "Server shutting down"]);
      await deadline(done, SOON);
    });
  });
}

/** The internals that each runtime has, as {@linkcode seenOn} finds them. */
const PRESENT: Record<typeof runtime, readonly string[]> = {
  node: [
    "acceptedBy",
    "boundKeyOf",
    "canFindConnections",
    "destroySoonOf",
    "handleOf",
    "hasParser",
    "heldResponse",
    "httpConnectionsOf",
    "newestRequest",
    "responseOf",
    "subscribersOf",
  ],
  deno: [
    "acceptedBy",
    "boundKeyOf",
    "destroySoonOf",
    "handleOf",
    "hasParser",
    "heldResponse",
    "newestRequest",
    "responseOf",
    "subscribersOf",
  ],
  bun: [
    "closeIfIdleOnBun",
    "destroySoonOf",
    "hasParser",
    "heldResponse",
    "newestRequest",
    "responseOf",
    "subscribersOf",
  ],
};

test(`[${runtime}] internals.ts finds each internal of node:http in this version`, async () => {
  assertEquals(await seenOn(), PRESENT[runtime]);
});

/** Names the internals that are there on a connection with two pipelined requests. */
async function seenOn(): Promise<string[]> {
  const seen = new Set<string>();
  const see = (name: string, is: unknown) => void (is && seen.add(name));
  const gate = Promise.withResolvers<void>();
  const both = Promise.withResolvers<void>();
  let count = 0;
  const native = http.createServer(async (req, res) => {
    if (++count === 2) {
      res.writeHead(200);
      res.write("second");
      see("heldResponse", node.heldResponse(res));
      both.resolve();
    }
    see("newestRequest", node.newestRequest(req.socket));
    see("hasParser", node.hasParser(req.socket));
    see("responseOf", node.responseOf(req.socket));
    see("destroySoonOf", node.destroySoonOf(req.socket));
    see("acceptedBy", node.acceptedBy(native).length === 1);
    see("httpConnectionsOf", node.httpConnectionsOf(native)?.all.length === 1);
    see("canFindConnections", node.canFindConnections(native));
    see("closeIfIdleOnBun", node.closeIfIdleOnBun(req.socket));
    await gate.promise;
    res.end();
  });
  native.listen(0, "127.0.0.1");
  await once(native, "listening");
  see("handleOf", node.handleOf(native));
  const subscribed = channel("test.subscribed");
  subscribed.subscribe(() => {});
  see("subscribersOf", node.subscribersOf(subscribed)?.length === 1);
  see("boundKeyOf", node.boundKeyOf(native));
  // The cast: it listens on TCP.
  const { port } = native.address() as net.AddressInfo;
  const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
  const client = await connect(addr);
  client.write(request("/") + request("/"));
  await deadline(both.promise, SOON);
  gate.resolve();
  await client.response();
  client.socket.destroy();
  native.close();
  return [...seen].sort();
}

test(`[${runtime}] activeResources() names what is active where the streams of the process cannot be told apart`, async () => {
  const timer = setTimeout(() => {}, 60_000);
  await without(hostInternals, "resourceBehind", () => undefined, () => {
    assert(activeResources().includes("Timeout"), String(activeResources()));
    return Promise.resolve();
  });
  clearTimeout(timer);
});

test(`[${runtime}] aroundDisconnect() calls around the message of a primary, and of no other`, () => {
  const calls: string[] = [];
  const runtimes = () => calls.push("runtime");
  process.on("internalMessage", runtimes);
  const leave = hostInternals.aroundDisconnect(
    () => calls.push("before"),
    () => calls.push("after"),
  );
  // The cast: the types of `process` lack its own events.
  const emit = (message: unknown) => process.emit("internalMessage" as "message", message, null);
  emit({ cmd: "NODE_CLUSTER", act: "disconnect" });
  emit({ cmd: "NODE_CLUSTER", act: "newconn" });
  emit(undefined);
  leave();
  emit({ cmd: "NODE_CLUSTER", act: "disconnect" });
  process.off("internalMessage", runtimes);
  assertEquals(calls.join(" "), "before runtime after runtime runtime runtime");
});
