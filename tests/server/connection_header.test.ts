/** What the last response of a connection says on the wire, and that nothing comes behind it. */
import net from "node:net";
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import { type Addr, type Engine, serve, type Server, ShutdownIncompleteError } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { engines, pem, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, and below 5 s, when keep-alive ends by itself. */
const SOON = 4_000;

/** A body in two pieces. */
function stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieces = ["first ", "last"].map((text) => new TextEncoder().encode(text));
  return new ReadableStream({
    async pull(controller) {
      const piece = pieces.shift();
      await delay(1);
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  });
}

/** A server whose handlers wait at a gate, and then answer as the path says. */
class Gated {
  server!: Server;
  readonly arrivals: string[] = [];
  readonly #first = Promise.withResolvers<void>();
  readonly #gate = Promise.withResolvers<void>();

  static async start(engine: Engine, tls = false): Promise<Gated> {
    const gated = new Gated();
    gated.server = await serve((request) => gated.#answer(request), {
      port: 0,
      hostname: "127.0.0.1",
      engine,
      ...(tls ? pem : {}),
    });
    return gated;
  }

  async #answer({ url }: Request): Promise<Response> {
    // The base is for HTTP/1.0 on Bun, where the URL of a request without a host is its path.
    const { pathname } = new URL(url, "http://test");
    this.arrivals.push(pathname);
    this.#first.resolve();
    if (pathname === "/stuck") return await new Promise(() => {});
    await this.#gate.promise;
    if (pathname === "/stream") return new Response(stream());
    if (pathname === "/big") return new Response("x".repeat(100_000));
    if (pathname === "/empty") return new Response(null);
    if (pathname === "/204") return new Response(null, { status: 204 });
    return new Response("hello");
  }

  /** Starts a drain once a request has arrived, and lets the handlers answer. */
  async drain(): Promise<unknown> {
    await this.#first.promise;
    const done = this.server.shutdown({ timeout: SOON });
    await refused(this.server);
    this.#gate.resolve();
    return done;
  }
}

/** Resolves when the server refuses new connections: from then on it says that connections end. */
async function refused({ addr }: Server): Promise<void> {
  // The cast: it listens on TCP.
  const { hostname, port } = addr as Addr & { transport: "tcp" };
  while (!await isRefused(hostname, port)) await delay(1);
}

/** The kernel may leave a handshake unanswered while the listener closes: it is begun anew. */
function isRefused(hostname: string, port: number): Promise<boolean> {
  const socket = net.connect(port, hostname);
  return new Promise<boolean>((resolve) => {
    socket.once("error", () => resolve(true));
    socket.once("connect", () => resolve(false));
    setTimeout(() => resolve(false), 50);
  }).finally(() => socket.destroy());
}

/** What the `Connection` headers of the next head say. */
async function connectionHeaders(client: RawClient): Promise<string[]> {
  const head = await deadline(client.take(/\r\n\r\n/), SOON);
  return [...head.matchAll(/^connection: *(.*)\r$/gim)].map(([, value]) => value!.toLowerCase());
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  for (const path of ["/stream", "/big", "/hello"]) {
    // On the other engines such a pair ends in ways of its own.
    for (const tls of engine.startsWith("deno") ? [false, true] : []) {
      test(`${on} shutdown()${tls ? " with TLS" : ""} does not process a request pipelined behind ${path}`, async () => {
        const gated = await Gated.start(engine, tls);
        const client = await connect(gated.server.addr, tls ? { alpn: "http/1.1" } : {});
        client.write(request(path) + request("/stuck"));
        const done = gated.drain();
        const response = await deadline(client.response(), SOON);
        assertEquals(response.headers["connection"], "close");
        assertEquals(await deadline(client.closed, SOON), "end");
        assertEquals(client.received, "");
        assertEquals(gated.arrivals, [path]);
        await done;
      });
    }
  }

  for (const path of ["/hello", "/stream", "/big", "/empty"]) {
    test(`${on} shutdown() says close once on the response to ${path} of HTTP/1.0 with keep-alive`, async () => {
      const gated = await Gated.start(engine);
      const client = await connect(gated.server.addr);
      client.write(`GET ${path} HTTP/1.0\r\nHost: test\r\nConnection: Keep-Alive\r\n\r\n`);
      const done = gated.drain();
      assertEquals(await connectionHeaders(client), ["close"]);
      assertEquals(await deadline(client.closed, SOON), "end");
      const lengths: Record<string, number> = { "/hello": 5, "/stream": 10, "/big": 100_000 };
      assertEquals(client.received.length, lengths[path] ?? 0);
      await done;
    });
  }

  test(`${on} shutdown() says close once to HTTP/1.1, whatever the client asks for`, async () => {
    for (const asked of [[], ["Connection: close"], ["Connection: keep-alive"]]) {
      for (const path of ["/hello", "/stream", "/empty", "/204"]) {
        const gated = await Gated.start(engine);
        const client = await connect(gated.server.addr);
        client.write(request(path, ...asked));
        const done = gated.drain();
        assertEquals(await connectionHeaders(client), ["close"], `${path} ${asked}`);
        assertEquals(await deadline(client.closed, SOON), "end");
        await done;
      }
    }
  });

  test(`${on} shutdown() says close on the response to an upload`, async () => {
    for (const body of ["x", "x".repeat(1_000_000)]) {
      const gated = await Gated.start(engine);
      const client = await connect(gated.server.addr);
      client.write(request("POST /hello", `Content-Length: ${body.length}`) + body);
      const done = gated.drain();
      // Deno says it as well, until 2.9.6: that does no harm.
      assertEquals([...new Set(await connectionHeaders(client))], ["close"]);
      await deadline(client.closed, SOON);
      await done;
    }
  });
}

if (runtime === "deno") {
  for (const engine of ["deno", "deno-serve"] as const) {
    // Deno says keep-alive to HTTP/1.0 in every head whose length it knows, and there is none to make
    // unknown where the status has no body.
    test(`[deno, ${engine}] shutdown() says both on a 204 of HTTP/1.0 with keep-alive, and its connection closes`, async () => {
      const gated = await Gated.start(engine);
      const client = await connect(gated.server.addr);
      client.write("GET /204 HTTP/1.0\r\nHost: test\r\nConnection: Keep-Alive\r\n\r\n");
      const done = gated.drain();
      assertEquals((await connectionHeaders(client)).sort(), ["close", "keep-alive"]);
      assertEquals(await deadline(client.closed, SOON), "end");
      await done;
    });
  }

  for (const when of ["before", "during"]) {
    test(`[deno] shutdown() gives a client half a second that stops in an upload answered ${when} it`, async () => {
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
      const server = await serve(async () => {
        arrive();
        await gate;
        return new Response("too much", { status: 413 });
      }, { port: 0, hostname: "127.0.0.1", engine: "deno" });
      const client = await connect(server.addr);
      client.write(request("POST /", "Content-Length: 5000000000") + "x".repeat(100_000));
      await arrived;
      if (when === "before") {
        open();
        await deadline(client.response(), SOON);
      }
      const done = server.shutdown({ timeout: SOON });
      open();
      if (when === "during") assertEquals((await client.response()).status, 413);
      const { duration } = await done;
      assertEquals(duration >= 490 && duration < 1_500, true);
      await client.closed;
    });
  }

  // Deno.serve discards the rest for as long as its client is there.
  test("[deno, deno-serve] shutdown() waits for a client that stops in an upload answered unread", async () => {
    const server = await serve(() => new Response("too much", { status: 413 }), {
      port: 0,
      hostname: "127.0.0.1",
      engine: "deno-serve",
    });
    const client = await connect(server.addr);
    client.write(request("POST /", "Content-Length: 5000000000") + "x".repeat(100_000));
    assertEquals((await deadline(client.response(), SOON)).status, 413);
    await assertRejects(() => server.shutdown({ timeout: 800 }), ShutdownIncompleteError);
    const done = server.shutdown({ timeout: SOON });
    client.vanish();
    assertEquals((await done).reason, "drained");
  });
}
