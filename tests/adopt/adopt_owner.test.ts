/** What the owner of an adopted server still does with it: change its listeners, close it, start it again. */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type Server, ServerClosedError } from "../../mod.ts";
import { listening } from "../support/adopted.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

async function answerTo(client: RawClient, ...head: [string, ...string[]]): Promise<string> {
  client.write(request(...head));
  return (await deadline(client.response(), SOON)).body;
}

/** The state of its one connection. */
function state(server: Server): string {
  return server.connections().map((conn) => `${conn.state} ${conn.path}`).join();
}

/** What is told to the console while `use` runs. */
async function complaints(use: () => Promise<void>): Promise<unknown[]> {
  const { error } = console;
  const told: unknown[] = [];
  console.error = (...values: unknown[]) => told.push(...values);
  try {
    await use();
  } finally {
    console.error = error;
  }
  return told;
}

test(`[${runtime}] adopt() tracks requests when a library takes over "request" after it, as engine.io does`, async () => {
  const native = http.createServer((_req, res) => void res.end("its owner"));
  const server = adopt(native);
  await listening(native);
  const others = native.listeners("request");
  native.removeAllListeners("request");
  const waiting = Promise.withResolvers<http.ServerResponse>();
  native.on("request", (req: http.IncomingMessage, res: http.ServerResponse) => {
    if (req.url === "/library") return waiting.resolve(res);
    for (const other of others) other.call(native, req, res);
  });
  const [idle, active] = [await connect(server.addr), await connect(server.addr)];
  assertEquals(await answerTo(idle, "/"), "its owner");
  active.write(request("/library"));
  const res = await deadline(waiting.promise, SOON);
  const states = server.connections().map((conn) => `${conn.state} ${conn.path}`).sort();
  assertEquals(states, ["active /library", "idle undefined"]);
  const done = server.shutdown();
  await deadline(idle.closed, SOON);
  res.end("the library");
  const { body, headers } = await deadline(active.response(), SOON);
  assertEquals([body, headers["connection"]?.toLowerCase()], ["the library", "close"]);
  const report = await deadline(done, SOON);
  assertEquals([report.idle, report.drained], [1, 1]);
});

test(`[${runtime}] adopt() tracks what a listener answers that was put in front of its own`, async () => {
  const native = http.createServer();
  const server = adopt(native);
  const seen: string[] = [];
  native.on("request", (_req: unknown, res: http.ServerResponse) => {
    if (!res.writableEnded) res.end("behind");
  });
  native.prependListener("request", (_req: unknown, res: http.ServerResponse) => {
    seen.push(state(server));
    res.end("in front");
  });
  await listening(native);
  const client = await connect(server.addr);
  assertEquals(await answerTo(client, "/x"), "in front");
  assertEquals(seen, ["active /x"]);
  await deadline(server.shutdown(), SOON);
});

test(`[${runtime}] adopt() leaves the front to somebody else who insists on it`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  const theirs = () => {};
  const insist = () => {
    if (native.listeners("request")[0] === theirs) return;
    native.off("request", theirs);
    native.prependListener("request", theirs);
  };
  const server = adopt(native);
  native.on("newListener", (event, listener) => {
    if (event === "request" && listener !== theirs) queueMicrotask(insist);
  });
  insist();
  await listening(native);
  const client = await connect(server.addr);
  assertEquals(await answerTo(client, "/"), "hello");
  assertEquals(state(server), "idle undefined");
  assertEquals(native.listeners("request")[0], theirs);
  await deadline(server.shutdown(), SOON);
});

test(`[${runtime}] adopt() takes a server that wraps its listeners, as instrumentation does`, async () => {
  const wrapped = new WeakMap<() => void, () => void>();
  class Wrapping extends http.Server {
    override on(event: string, listener: () => void): this {
      return super.on(event, wrap(listener));
    }
    override prependListener(event: string, listener: () => void): this {
      return super.prependListener(event, wrap(listener));
    }
    override off(event: string, listener: () => void): this {
      return super.off(event, wrapped.get(listener) ?? listener);
    }
  }
  function wrap(listener: () => void): () => void {
    const wrapper = function (this: unknown, ...values: []) {
      listener.apply(this, values);
    };
    wrapped.set(listener, wrapper);
    return wrapper;
  }
  const native = new Wrapping();
  const server = adopt(native);
  const owner: http.RequestListener = (_req, res) => void res.end("hello");
  native.on("request", owner as () => void);
  await listening(native);
  const client = await connect(server.addr);
  assertEquals(await answerTo(client, "/"), "hello");
  assertEquals([state(server), native.listenerCount("request")], ["idle undefined", 2]);
  native.off("request", owner as () => void);
  await Promise.resolve();
  assertEquals(native.listenerCount("request"), 0);
  await deadline(server.shutdown(), SOON);
});

test(`[${runtime}] adopt() counts one upgrade when somebody replaces "upgrade" and calls what was there`, async () => {
  const native = http.createServer();
  native.on("upgrade", (_request, socket: net.Socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n");
  });
  const states: string[] = [];
  const server = adopt(native, { onConnState: (state) => states.push(state) });
  await listening(native);
  const others = native.listeners("upgrade");
  native.removeAllListeners("upgrade");
  native.on("upgrade", (...values) => {
    for (const other of others) other.apply(native, values);
  });
  const client = await connect(server.addr);
  client.write(request("/", "Connection: Upgrade", "Upgrade: echo"));
  assertEquals((await deadline(client.head(), SOON)).status, 101);
  assertEquals(states.filter((state) => state === "hijacked"), ["hijacked"]);
  const done = server.shutdown();
  client.vanish();
  await deadline(done, SOON);
});

for (const event of ["upgrade", "checkContinue"]) {
  const head = event === "upgrade"
    ? ["Connection: Upgrade", "Upgrade: echo"]
    : ["Expect: 100-continue"];

  test(`[${runtime}] adopt() lets the server answer by itself once nobody listens to "${event}"`, async () => {
    const native = http.createServer((_req, res) => void res.end("a request"));
    const server = adopt(native);
    const own = () => assert(false, "it was taken off");
    native.on(event, own);
    await listening(native);
    native.off(event, own);
    // What it does without a listener, and without us, it does with us.
    const bare = http.createServer((_req, res) => void res.end("a request"));
    await listening(bare);
    // The cast: one that listens on TCP has an AddressInfo.
    const { port } = bare.address() as net.AddressInfo;
    const answers = [];
    for (const addr of [{ transport: "tcp", hostname: "127.0.0.1", port } as const, server.addr]) {
      const client = await connect(addr);
      client.write(request("/", ...head));
      answers.push((await deadline(client.head(), SOON)).status);
      client.vanish();
    }
    assertEquals(answers[1], answers[0]);
    await deadline(server.shutdown({ timeout: SOON }), SOON);
    bare.close();
  });
}

const kinds: Record<string, () => net.Server> = {
  "node:http": () => http.createServer((_req, res) => void res.end("hello")),
  "node:https": () => https.createServer(pem, (_req, res) => void res.end("hello")),
  "node:http2": () => http2.createSecureServer({ ...pem, allowHTTP1: true }),
  "node:net": () => net.createServer((socket) => socket.on("error", () => {})),
};

for (const [kind, create] of Object.entries(kinds)) {
  test(`[${runtime}] adopt() lets ${kind} emit "close" once, whoever closes it`, async () => {
    for (const isByOwner of [true, false]) {
      const native = create();
      let closes = 0;
      native.on("close", () => closes++);
      const server = adopt(native);
      await listening(native);
      const closed = once(native, "close");
      if (isByOwner) native.close();
      else await deadline(server.shutdown(), SOON);
      await deadline(Promise.all([closed, server.finished]), SOON);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals([closes, server.state], [1, "closed"], `by its owner: ${isByOwner}`);
    }
  });

  test(`[${runtime}] adopt() closes ${kind} that listens after its shutdown`, async () => {
    for (const hasListened of [true, false]) {
      const native = create();
      const server = adopt(native);
      if (hasListened) await listening(native);
      const first = hasListened ? once(native, "close") : undefined;
      await deadline(server.shutdown(), SOON);
      await first;
      const told = await complaints(async () => {
        const closed = once(native, "close");
        native.listen(0, "127.0.0.1");
        await deadline(closed, SOON);
      });
      assert(told[0] instanceof ServerClosedError, `has listened before: ${hasListened}`);
      assertEquals([native.listening, adopt(native)], [false, server]);
    }
  });
}

test(`[${runtime}] adopt() leaves a close() of its owner's own to its owner`, async () => {
  class Counting extends http.Server {
    #calls = 0;
    override close(done?: (error?: Error) => void): this {
      this.#calls++;
      return super.close(done);
    }
    get calls(): number {
      return this.#calls;
    }
  }
  const native = new Counting((_req, res) => void res.end("hello"));
  const server = adopt(native);
  await listening(native);
  const closed = once(native, "close");
  await deadline(server.shutdown(), SOON);
  await deadline(closed, SOON);
  // On Bun nothing else ends it: its servers have no listener that could be closed by itself.
  assertEquals(native.calls, runtime === "bun" ? 1 : 0);
});

test(`[${runtime}] adopt() closes a server again that its owner starts in its "close"`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  let ports = 0;
  // Throws if its listener was closed behind its back.
  native.on("listening", () => native.address() === null ? undefined : ports++);
  const server = adopt(native);
  await listening(native);
  const again = Promise.withResolvers<void>();
  native.once("close", () => {
    native.once("close", () => again.resolve());
    // Without a name to look up it listens at once.
    native.listen(0);
  });
  const told = await complaints(async () => {
    await deadline(server.shutdown(), SOON);
    await deadline(again.promise, SOON);
  });
  assert(told[0] instanceof ServerClosedError);
  assertEquals([native.listening, native.address(), ports], [false, null, 2]);
});

test(`[${runtime}] adopt() takes a server again that its owner closed and started`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  const servers = [];
  for (let i = 0; i < 3; i++) {
    const states: string[] = [];
    await listening(native);
    const server = adopt(native, { onConnState: (state) => states.push(state) });
    servers.push(server);
    const client = await connect(server.addr);
    assertEquals(await answerTo(client, "/"), "hello");
    assertEquals(state(server), "idle undefined");
    const closed = once(native, "close");
    if (i < 2) {
      native.close();
      client.vanish();
      await deadline(Promise.all([closed, server.finished]), SOON);
      assertEquals(adopt(native), server, "until it listens again");
    } else {
      assertEquals((await deadline(server.shutdown(), SOON)).idle, 1);
      await deadline(client.closed, SOON);
    }
    assertEquals(states, ["new", "active", "idle", "closed"], "each driver sees it once");
  }
  assertEquals(new Set(servers).size, 3);
  assertEquals(native.listenerCount("request"), 2, "the owner's, and ours of the last time");
});

test(`[${runtime}] shutdown() leaves nothing ticking in an adopted server`, async () => {
  const native = http.createServer((_req, res) => void res.end("hello"));
  const server = adopt(native);
  await listening(native);
  const closed = once(native, "close");
  await deadline(server.shutdown(), SOON);
  await deadline(closed, SOON);
  const symbol = Object.getOwnPropertySymbols(native).find(({ description }) =>
    description === "http.server.connectionsCheckingInterval"
  );
  assert(symbol !== undefined, "the timer of node:http has another place");
  // The cast: slots have no types.
  const slot = (native as unknown as Record<symbol, Interval | undefined>)[symbol];
  assert((slot?._timerId ?? slot)?._destroyed !== false, "it is not cleared");
});

/** A timer of node's, or on Deno what has one. */
interface Interval {
  readonly _timerId?: Interval;
  readonly _destroyed: boolean;
}
