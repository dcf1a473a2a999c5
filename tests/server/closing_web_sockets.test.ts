/** How a drain closes WebSockets: what is sent, in which order, and how long it waits for the clients. */
import { test } from "node:test";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { constants, inflateRawSync } from "node:zlib";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, serve, type Server, ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { until } from "../../support/until.ts";
import { engines, hasKernelHelp, pem, runtime } from "../support/fixture.ts";
import { CLOSE, type OpenOptions, PING, RawWebSocket, TEXT } from "../../support/raw_web_socket.ts";
import {
  type Behavior,
  kinds,
  type WebSocketFixture,
  type WebSocketKind,
} from "../../support/web_socket_servers.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** In bytes: more than the buffers of a connection on loopback take together. */
const LARGE = 16 * 1024 * 1024;

const CLOSING = { close: 1012, reason: "back soon" };

/** The close frame that clients of a kind get when the option asks for {@linkcode CLOSING}. */
function closeFrameOf({ closes }: WebSocketKind): [number, string] {
  return closes === "deno" ? [1001, "Server shutting down"] : [1012, "back soon"];
}

/** Closes the WebSockets of a server that only its owner can close. */
function closeAsOwner({ closes }: WebSocketKind, { sockets }: WebSocketFixture): void {
  if (closes !== "owner") return;
  for (const socket of [...sockets]) socket.close(CLOSING.close, CLOSING.reason);
}

/** Starts a server of a kind, with open WebSockets. */
async function open(
  kind: WebSocketKind,
  behavior: Behavior = {},
  count = 1,
  options: OpenOptions = {},
): Promise<WebSocketFixture & { clients: RawWebSocket[]; client: RawWebSocket }> {
  const fixture = await kind.start(behavior);
  const clients = [];
  for (let i = 0; i < count; i++) {
    clients.push(await deadline(RawWebSocket.open(fixture.server.addr, options), SOON));
  }
  await holds(() => fixture.sockets.size === count);
  return { ...fixture, clients, client: clients[0]! };
}

/** Waits until a condition holds. */
async function holds(condition: () => boolean): Promise<void> {
  await until(() => String(condition), () => condition() || undefined);
}

/** Ends what a test has left open. */
async function end(server: Server, clients: readonly RawWebSocket[]): Promise<void> {
  for (const { socket } of clients) socket.destroy();
  await deadline(server.close().catch(() => {}), SOON);
}

/** Runs a function without its reports on the console, and returns them. */
async function silently(fn: () => Promise<void>): Promise<unknown[]> {
  const original = console.error;
  const reported: unknown[] = [];
  console.error = (...about: unknown[]) => void reported.push(...about);
  try {
    await fn();
  } finally {
    console.error = original;
  }
  return reported;
}

for (const [name, kind] of Object.entries(kinds)) {
  const on = `[${runtime}, ${name}]`;
  const isPackage = kind.closes === "package";

  test(`${on} shutdown() sends the close frame behind the last messages of hooks and listeners`, async () => {
    const fixture = await open(kind);
    const { server, sockets, client } = fixture;
    const say = (text: string) => {
      for (const socket of sockets) socket.send(text);
    };
    const [hook, listeners] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    server.draining.addEventListener("abort", () => say("listener"));
    server.draining.addEventListener("abort", async () => {
      await hook.promise;
      await sleep(30);
      say("late listener");
      await sleep(30);
      say("last listener");
      listeners.resolve();
    });
    server.onShutdown(() => {
      say("hook");
      hook.resolve();
    });
    server.onShutdown(async () => {
      await listeners.promise;
      await sleep(30);
      say("late hook");
      closeAsOwner(kind, fixture);
    });
    const done = server.shutdown({ hijacked: CLOSING });
    for (const text of ["listener", "hook", "late listener", "last listener", "late hook"]) {
      assertEquals(await deadline(client.text(), SOON), text);
    }
    assertEquals(await deadline(client.closeFrame(), SOON), closeFrameOf(kind));
    client.answerClose();
    assertEquals((await deadline(done, SOON)).reason, "drained");
    await deadline(client.closed, SOON);
  });

  test(`${on} shutdown() sends no close frame to a WebSocket that a hook has closed`, async () => {
    const { server, sockets, client } = await open(kind);
    server.onShutdown(() => {
      for (const socket of [...sockets]) {
        socket.send("last");
        socket.close(4000, "mine");
      }
    });
    const done = server.shutdown({ hijacked: CLOSING });
    assertEquals(await deadline(client.text(), SOON), "last");
    assertEquals(await deadline(client.closeFrame(), SOON), [4000, "mine"]);
    const { received } = client;
    client.answerClose(4000);
    assertEquals((await deadline(done, SOON)).reason, "drained");
    await deadline(client.closed, SOON);
    // Deno answers the client's answer with a second close frame.
    if (runtime !== "deno" || name === "adopted ws") assertEquals(client.received, received);
  });

  test(`${on} shutdown() sends the close frame in spite of hooks that throw and hang`, async () => {
    const fixture = await open(kind);
    const { server, client } = fixture;
    server.onShutdown(() => {
      closeAsOwner(kind, fixture);
      throw new Error("of a hook");
    });
    server.onShutdown(() => Promise.reject(new Error("of an async hook")));
    server.onShutdown(() => new Promise(() => {}));
    const reported = await silently(async () => {
      const start = performance.now();
      const done = server.shutdown({ timeout: 4_000, hijacked: CLOSING });
      assertEquals(await deadline(client.closeFrame(), SOON), closeFrameOf(kind));
      const time = performance.now() - start;
      client.answerClose();
      assertEquals((await deadline(done, SOON)).reason, "drained");
      // Half of the timeout. Timers may be early by a millisecond.
      if (kind.closes !== "owner") assert(time > 1_990, `after ${time} ms`);
    });
    assertEquals(reported.map(String), ["Error: of a hook", "Error: of an async hook"]);
  });

  test(`${on} shutdown() closes a WebSocket that opens during the drain`, async () => {
    const [arrived, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const fixture = await kind.start({
      gate: () => {
        arrived.resolve();
        return gate.promise;
      },
      onOpen: () => queueMicrotask(() => closeAsOwner(kind, fixture)),
    });
    const opening = RawWebSocket.open(fixture.server.addr);
    await deadline(arrived.promise, SOON);
    const done = fixture.server.shutdown({ hijacked: CLOSING });
    await sleep(20);
    gate.resolve();
    const client = await deadline(opening, SOON);
    assertEquals(await deadline(client.closeFrame(), SOON), closeFrameOf(kind));
    client.answerClose();
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });

  if (kind.hasInfo) {
    test(`${on} info.draining tells an open WebSocket, before the close frame`, async () => {
      const { server, client } = await open(kind, {
        onOpen: (socket, info) => {
          info!.draining.addEventListener("abort", async () => {
            socket.send("leaving");
            await sleep(50);
            socket.send("left");
          });
        },
      });
      const done = server.shutdown();
      assertEquals(await deadline(client.text(), SOON), "leaving");
      assertEquals(await deadline(client.text(), SOON), "left");
      assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
      client.answerClose();
      await deadline(done, SOON);
    });

    test(`${on} info.draining is not told to a WebSocket that has closed`, async () => {
      let told = 0;
      const { server, sockets, client } = await open(kind, {
        onOpen: (_socket, info) => info!.draining.addEventListener("abort", () => told++),
      });
      client.answerClose(1000);
      await deadline(client.closed, SOON);
      await holds(() => sockets.size === 0);
      // Deno ends the connection a moment after the WebSocket.
      await holds(() => server.connections().length === 0);
      await deadline(server.shutdown(), SOON);
      assertEquals(told, 0);
    });
  }

  if (kind.closes !== "deno") {
    test(`${on} shutdown() waits for the client of a WebSocket, and lists it as hijacked`, async () => {
      const fixture = await open(kind);
      const { server, client } = fixture;
      client.endsWithServer = false;
      server.onShutdown(() => closeAsOwner(kind, fixture));
      const error = await deadline(
        assertRejects(() => server.shutdown({ timeout: 200 }), ShutdownIncompleteError),
        SOON,
      );
      assertEquals((await client.next()).opcode, CLOSE);
      if (isPackage) {
        assertEquals(error.report.connections.map(({ state }) => state), ["hijacked"]);
        assertEquals(server.connections().map(({ state }) => state), ["hijacked"]);
      }
      client.answerClose();
      client.socket.end();
      assertEquals((await deadline(server.shutdown(), SOON)).reason, "drained");
    });

    test(`${on} shutdown() loses nothing of what crosses messages of the client`, async () => {
      let messages = 0;
      const fixture = await open(kind, { onMessage: () => messages++ });
      const { server, sockets, client } = fixture;
      const text = "x".repeat(LARGE);
      server.onShutdown(() => {
        for (const socket of sockets) socket.send(text);
        closeAsOwner(kind, fixture);
      });
      // The client reads nothing until the server has sent everything and received messages after that.
      client.socket.pause();
      const done = server.shutdown({ hijacked: CLOSING, timeout: SOON });
      for (let i = 0; i < 100; i++) {
        client.send(TEXT, "crossing");
        await sleep(1);
      }
      const { state } = server;
      client.socket.resume();
      assertEquals((await deadline(client.text(), SOON)).length, LARGE);
      assertEquals(await deadline(client.closeFrame(), SOON), [1012, "back soon"]);
      client.send(TEXT, "late");
      client.answerClose();
      assertEquals((await deadline(done, SOON)).reason, "drained");
      assertEquals([state, await deadline(client.closed, SOON)], ["draining", "end"]);
      if (kind.receivesAfterClose) assertEquals(messages, 101);
      else assert(messages < 100, "this exception is no more");
    });
  }

  if (isPackage) {
    test(`${on} shutdown() closes WebSockets with 1001 unless told otherwise`, async () => {
      const { server, client } = await open(kind);
      const done = server.shutdown();
      assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
      client.answerClose();
      await deadline(done, SOON);
    });

    test(`${on} shutdown() cuts off a client that does not answer after hijacked.within`, async () => {
      const { server, client } = await open(kind);
      client.endsWithServer = false;
      const start = performance.now();
      const done = server.shutdown({ hijacked: { within: 300 } });
      assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
      const { reason, forced, drained } = await deadline(done, SOON);
      const time = performance.now() - start;
      assertEquals([reason, forced, drained], ["drained", 1, 0]);
      assert(time > 290, `after ${time} ms`);
      client.socket.end();
      await deadline(client.closed, SOON);
    });

    // Without the kernel's help, Deno and Bun keep what their clients do not read.
    if (hasKernelHelp || runtime === "node") {
      test(`${on} shutdown() cuts off a client that does not read after hijacked.within`, async () => {
        const { server, sockets, client } = await open(kind);
        client.socket.pause();
        server.onShutdown(() => {
          for (const socket of sockets) socket.send("x".repeat(LARGE));
        });
        const { reason, forced } = await deadline(
          server.shutdown({ hijacked: { within: 300 } }),
          SOON,
        );
        assertEquals([reason, forced], ["drained", 1]);
        client.socket.resume();
        await deadline(client.closed, SOON);
        assert(client.received < LARGE);
      });
    }

    test(`${on} shutdown() with hijacked "ignore" sends the close frame, and waits for no client`, async () => {
      const { server, sockets, client } = await open(kind);
      server.onShutdown(async () => {
        await sleep(50);
        for (const socket of sockets) socket.send("last");
      });
      const done = server.shutdown({ hijacked: "ignore" });
      assertEquals(await deadline(client.text(), SOON), "last");
      assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
      assertEquals((await deadline(done, SOON)).reason, "drained");
      await end(server, [client]);
    });

    test(`${on} shutdown() sends 1 000 WebSockets a last message each, and then the close frame`, async () => {
      const { server, sockets, clients } = await open(kind, {}, 1_000);
      server.onShutdown(async () => {
        for (const socket of sockets) socket.send("first");
        await sleep(10);
        for (const socket of sockets) socket.send("last");
      });
      const done = server.shutdown({ hijacked: CLOSING });
      await Promise.all(clients.map(async (client) => {
        assertEquals(await deadline(client.text(), SOON), "first");
        assertEquals(await deadline(client.text(), SOON), "last");
        assertEquals(await deadline(client.closeFrame(), SOON), [1012, "back soon"]);
        client.answerClose();
      }));
      const { reason, forced } = await deadline(done, SOON);
      assertEquals([reason, forced], ["drained", 0]);
    });
  }

  if (isPackage) {
    test(`${on} shutdown() loses nothing over TLS either`, async () => {
      const { server, sockets, client } = await open(kind, { tls: pem }, 1, { tls: true });
      assertEquals(server.connections().map(({ state }) => state), ["hijacked"]);
      const text = "x".repeat(LARGE);
      server.onShutdown(async () => {
        await sleep(20);
        for (const socket of sockets) socket.send(text);
      });
      client.socket.pause();
      const done = server.shutdown({ hijacked: CLOSING, timeout: SOON });
      for (let i = 0; i < 50; i++) {
        client.send(TEXT, "crossing");
        await sleep(1);
      }
      client.socket.resume();
      assert(await deadline(client.text(), SOON) === text);
      assertEquals(await deadline(client.closeFrame(), SOON), [1012, "back soon"]);
      client.answerClose();
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });
  }

  if (name === "adopted ws" || name === "bun") {
    test(`${on} shutdown() sends the close frame behind messages that are compressed`, async () => {
      const { server, sockets, client } = await open(
        kind,
        { compress: true },
        1,
        { headers: ["Sec-WebSocket-Extensions: permessage-deflate"] },
      );
      const text = "compressible ".repeat(100_000);
      server.onShutdown(() => {
        for (const socket of sockets) socket.send(text);
      });
      const done = server.shutdown({ hijacked: CLOSING });
      const { opcode, payload } = await deadline(client.next(), SOON);
      // Bun leaves a message uncompressed unless it is asked for each.
      if (runtime !== "bun" || name === "adopted ws") assert(payload.length < 100_000);
      const message = payload.length < 100_000
        ? inflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH })
        : payload;
      assertEquals([opcode, message.toString() === text], [TEXT, true]);
      assertEquals(await deadline(client.closeFrame(), SOON), [1012, "back soon"]);
      client.answerClose();
      await deadline(done, SOON);
    });
  }
}

for (const name of ["deno", "deno-serve"]) {
  const kind = kinds[name];
  if (kind === undefined) continue;
  test(`[${runtime}, ${name}] shutdown() ends a WebSocket when a ping crosses the close frame, which Deno cannot answer`, async () => {
    const { server, client } = await open(kind);
    client.endsWithServer = false;
    const done = server.shutdown();
    assertEquals(await deadline(client.closeFrame(), SOON), [1001, ""]);
    client.send(PING, "are you there?");
    assertEquals((await deadline(done, SOON)).reason, "drained", "this exception is no more");
    client.socket.destroy();
  });
}

if (engines.includes("deno")) {
  test(`[${runtime}, deno] shutdown() waits for a client for longer than Deno's idleTimeout`, async () => {
    // The cast: the types of other runtimes do not know Deno's namespace.
    const { Deno } = globalThis as unknown as {
      Deno: {
        upgradeWebSocket(
          request: Request,
          options: { idleTimeout: number },
        ): { socket: WebSocket; response: Response };
      };
    };
    const opened = Promise.withResolvers<WebSocket>();
    const events: unknown[] = [];
    const server = await serve((request) => {
      const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 1 });
      socket.onopen = () => opened.resolve(socket);
      socket.onmessage = ({ data }) => events.push(data);
      socket.onerror = () => events.push("error");
      socket.onclose = ({ code }) => events.push(code);
      return response;
    }, { port: 0, hostname: "127.0.0.1", engine: "deno" });
    const client = await RawWebSocket.open(server.addr);
    const socket = await deadline(opened.promise, SOON);
    const done = server.shutdown({ hijacked: CLOSING });
    assertEquals(await deadline(client.closeFrame(), SOON), [1012, "back soon"]);
    await sleep(2_000);
    assertEquals(socket.readyState, WebSocket.CLOSING);
    client.send(TEXT, "late");
    client.answerClose(1012);
    assertEquals((await deadline(done, SOON)).reason, "drained");
    assertEquals([socket.readyState, events], [WebSocket.CLOSED, ["late", 1012]]);
  });
}

test(`[${runtime}, adopted node:http] shutdown() sends nothing on a hijacked connection that is no WebSocket of ws`, async () => {
  const native = createServer().on("upgrade", (_request, socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n",
    );
    socket.write("half a frame");
    socket.on("end", () => socket.end());
  });
  native.listen(0, "127.0.0.1");
  await once(native, "listening");
  const server = adopt(native);
  const client = await connect(server.addr);
  client.write(request("/", "Connection: Upgrade", "Upgrade: lines"));
  assertEquals((await deadline(client.head(), SOON)).status, 101);
  await deadline(client.take(/half a frame/), SOON);
  await assertRejects(
    () => deadline(server.shutdown({ timeout: 300, hijacked: { within: 50 } }), SOON),
    ShutdownIncompleteError,
    "hijacked",
  );
  assertEquals([client.received, client.isOver], ["", false]);
  client.socket.end();
  assertEquals((await deadline(server.shutdown(), SOON)).reason, "drained");
});

for (const engine of engines) {
  for (const way of ["sync", "async"] as const) {
    test(`[${runtime}, ${engine}] serve() reports a handler that returns nothing without an upgrade, and answers 500 (${way})`, async () => {
      const handler = way === "sync" ? () => {} : async () => {};
      const server = await serve(handler, { port: 0, hostname: "127.0.0.1", engine });
      const reported = await silently(async () => {
        const client = await connect(server.addr);
        client.write(request("/", "Connection: close"));
        assertEquals((await deadline(client.response(), SOON)).status, 500);
        client.socket.end();
      });
      assertEquals(reported.length, 1);
      assert(String(reported[0]).includes("must be a Response"), String(reported[0]));
      await deadline(server.shutdown(), SOON);
    });
  }
}
