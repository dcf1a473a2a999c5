/** An upload that is refused over HTTP/2 leaves its session as it was: the stream closes, and the next requests work. */
import { once } from "node:events";
import http2 from "node:http2";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { serve, type Server } from "../../mod.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** In bytes: two such uploads are more than a session of Node's client may hold back. */
const SIZE = 8_000_000;

for (const hasLength of [false, true]) {
  const kind = hasLength ? "with" : "without";
  test(`[${runtime}, node] maxBodySize ends larger uploads ${kind} Content-Length, and the session goes on`, async () => {
    const server = await serve(async (request) => new Response(await request.text()), {
      ...pem,
      port: 0,
      hostname: "127.0.0.1",
      engine: "node",
      maxBodySize: 1_000,
    });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    for (let i = 0; i < 3; i++) {
      assertEquals(await deadline(upload(session, SIZE, hasLength), SOON), "413 Content Too Large");
      await deadline(idle(server), SOON);
    }
    assertEquals(await deadline(upload(session, 3, hasLength), SOON), "200 xxx");
    await deadline(idle(server), SOON);
    assertEquals((await server.shutdown({ timeout: SOON })).reason, "drained");
    session.destroy();
  });
}

test(`[${runtime}, node] serve() ends what a handler has left unread of an upload some seconds after the response`, async () => {
  const server = await serve(async ({ body }) => {
    await body!.getReader().read();
    return new Response("enough");
  }, { ...pem, port: 0, hostname: "127.0.0.1", engine: "node" });
  const session = http2.connect(server.url, { rejectUnauthorized: false });
  const stream = session.request({ ":path": "/", ":method": "POST" });
  stream.on("error", () => {});
  stream.end("x".repeat(SIZE));
  await deadline(once(stream, "response"), SOON);
  stream.resume();
  await deadline(idle(server), 2 * SOON);
  session.destroy();
  await server.shutdown({ timeout: SOON });
});

test(`[${runtime}, node] serve() lets a handler go on reading an upload after the response`, async () => {
  const read = Promise.withResolvers<number>();
  const server = await serve((request, { waitUntil }) => {
    waitUntil(
      request.arrayBuffer().then(({ byteLength }) => read.resolve(byteLength), read.reject),
    );
    return new Response("accepted", { status: 202 });
  }, { ...pem, port: 0, hostname: "127.0.0.1", engine: "node" });
  const session = http2.connect(server.url, { rejectUnauthorized: false });
  const stream = session.request({ ":path": "/", ":method": "POST" });
  stream.write("x".repeat(SIZE));
  await delay(1_000);
  stream.end("the end");
  assertEquals(await deadline(read.promise, SOON), SIZE + "the end".length);
  session.destroy();
  await server.shutdown({ timeout: SOON });
});

/** Resolves when the only connection of a server is idle. */
async function idle(server: Server): Promise<void> {
  while (server.connections()[0]?.state !== "idle") await delay(50);
}

/** Resolves to the status and the body of a response. Deno's client does not notice that the stream is reset then. */
function upload(
  session: http2.ClientHttp2Session,
  size: number,
  hasLength: boolean,
): Promise<string> {
  const length = hasLength ? { "content-length": size } : {};
  const stream = session.request({ ":path": "/", ":method": "POST", ...length });
  let [status, body] = ["", ""];
  stream.setEncoding("utf8");
  stream.on("response", (headers) => status = String(headers[":status"]));
  stream.on("data", (piece) => body += piece);
  stream.end("x".repeat(size));
  return new Promise((resolve) => {
    stream.on("end", () => resolve(`${status} ${body}`));
    stream.on("error", ({ message }) => resolve(message));
  });
}
