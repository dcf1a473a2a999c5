/** `maxBodySize` means the same on every engine: the handler is told, and the client gets 413. */
import { after, test } from "node:test";
import { deadline } from "@std/async";
import { assert, assertEquals } from "@std/assert";
import { BodyTooLargeError, serve, type ServeOptions, type Server } from "../../mod.ts";
import { connect, type RawClient } from "../../support/client.ts";
import { engines, pem, runtime } from "../support/fixture.ts";
import http2 from "node:http2";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** In ms. */
const SOON = 6_000;

const LIMIT = 10;

/** What the handlers got when they read the body. */
type Told = unknown[];

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

async function start(options: ServeOptions): Promise<{ server: Server; told: Told }> {
  const told: Told = [];
  const server = await serve(async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/ignore") return new Response("ignored");
    try {
      return new Response(
        pathname === "/bytes" ? String((await request.bytes()).length) : await request.text(),
      );
    } catch (error) {
      told.push(error);
      if (pathname === "/caught") return Response.json("caught", { status: 400 });
      throw error;
    }
  }, {
    port: 0,
    hostname: "127.0.0.1",
    maxBodySize: LIMIT,
    onError: () => new Response("onError", { status: 500 }),
    ...options,
  });
  open.add(server);
  return { server, told };
}

function post(path: string, body: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function postChunked(path: string, ...chunks: string[]): string {
  const body = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("");
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body}0\r\n\r\n`;
}

async function exchange(client: RawClient, message: string): Promise<[number, string]> {
  client.write(message);
  const { status, body } = await deadline(client.response(), SOON);
  return [status, body];
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} maxBodySize lets bodies within the limit pass`, async () => {
    const { server, told } = await start({ engine });
    const client = await connect(server.addr);
    assertEquals(await exchange(client, post("/", "x".repeat(LIMIT))), [200, "x".repeat(LIMIT)]);
    assertEquals(await exchange(client, postChunked("/", "12345", "67890")), [200, "1234567890"]);
    assertEquals(await exchange(client, postChunked("/bytes", "12345")), [200, "5"]);
    assertEquals(await exchange(client, post("/", "")), [200, ""]);
    assertEquals(await exchange(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), [200, ""]);
    assertEquals(told, []);
    await server.shutdown();
  });

  for (const [kind, message] of [["declared", post], ["chunked", postChunked]] as const) {
    test(`${on} maxBodySize tells the handler of a larger ${kind} body, and the client gets 413`, async () => {
      const { server, told } = await start({ engine });
      for (const path of ["/", "/bytes"]) {
        const client = await connect(server.addr);
        assertEquals(await exchange(client, message(path, "x".repeat(LIMIT + 1))), [
          413,
          "Content Too Large",
        ]);
      }
      const catching = await connect(server.addr);
      assertEquals(await exchange(catching, message("/caught", "x".repeat(LIMIT + 1))), [
        400,
        '"caught"',
      ]);
      const ignoring = await connect(server.addr);
      assertEquals(await exchange(ignoring, message("/ignore", "x".repeat(LIMIT + 1))), [
        200,
        "ignored",
      ]);
      assertEquals(told.length, 3);
      for (const error of told) {
        assert(error instanceof BodyTooLargeError);
        assertEquals([error.name, error.status, error.limit], ["BodyTooLargeError", 413, LIMIT]);
      }
      await deadline(server.shutdown(), SOON);
    });
  }

  test(`${on} maxBodySize answers 413 before a large body has arrived, and the drain ends`, async () => {
    const { server } = await start({ engine });
    const declared = await connect(server.addr);
    declared.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx");
    assertEquals((await deadline(declared.response(), SOON)).status, 413);
    const chunked = await connect(server.addr);
    chunked.write(
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n${"x".repeat(20)}\r\n`,
    );
    assertEquals((await deadline(chunked.response(), SOON)).status, 413);
    if (engine === "deno-serve") return await server.close();
    await deadline(server.shutdown(), SOON);
  });

  test(`${on} maxBodySize holds for lengths that are given twice, and for methods without a body`, async () => {
    const { server } = await start({ engine });
    const body = "x".repeat(50);
    const twice = await connect(server.addr);
    twice.write(
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nContent-Length: 50\r\n\r\n${body}`,
    );
    assert([400, 413].includes((await deadline(twice.response(), SOON)).status));
    for (const method of ["GET", "TRACE"]) {
      const client = await connect(server.addr);
      client.write(`${method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n${body}`);
      const { status } = await deadline(client.response(), SOON);
      // Some runtimes give the handler of such a request no body.
      assert([200, 400, 405, 413].includes(status), `${method}: ${status}`);
    }
    if (engine === "deno-serve") return await server.close();
    await deadline(server.shutdown(), SOON);
  });

  test(`${on} maxBodySize leaves an upload that nobody reads to the drain`, async () => {
    const { server } = await start({ engine, maxBodySize: 1e9 });
    const client = await connect(server.addr);
    client.write("POST /ignore HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
    for (let i = 0; i < 20; i++) client.write(chunk);
    const done = server.shutdown();
    for (let i = 0; i < 20; i++) client.write(chunk);
    assertEquals((await deadline(client.response(), SOON)).body, "ignored");
    if (engine === "deno-serve") await server.close();
    await deadline(done, SOON);
  });

  test(`${on} maxBodySize 0 refuses every body`, async () => {
    const { server } = await start({ engine, maxBodySize: 0 });
    const client = await connect(server.addr);
    assertEquals(await exchange(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), [200, ""]);
    assertEquals((await exchange(client, post("/", "x")))[0], 413);
    await deadline(server.shutdown(), SOON);
  });

  test(`${on} maxBodySize holds over HTTP/2, where a body has no declared length`, async () => {
    const { server, told } = await start({ engine, ...pem });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    const get = async (body: string) => {
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.on("error", () => {});
      stream.end(body);
      const [headers] = await deadline(once(stream, "response"), SOON);
      return [headers[":status"], await text(stream)];
    };
    assertEquals(await get("x".repeat(LIMIT)), [200, "x".repeat(LIMIT)]);
    assertEquals(await get("x".repeat(LIMIT + 1)), [413, "Content Too Large"]);
    assertEquals(told.length, 1);
    session.close();
    await deadline(server.shutdown(), SOON);
  });
}

for (const engine of engines) {
  test(`[${runtime}, ${engine}] maxBodySize lets the signal of a request abort when its client leaves`, async () => {
    const left = Promise.withResolvers<void>();
    await using server = await serve(async (request) => {
      request.signal.addEventListener("abort", () => left.resolve());
      await left.promise;
      return new Response("too late");
    }, { port: 0, hostname: "127.0.0.1", engine, maxBodySize: LIMIT });
    const client = await connect(server.addr);
    client.write(postChunked("/", "ab"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.vanish();
    await deadline(left.promise, SOON);
  });
}
