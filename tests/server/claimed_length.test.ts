/** What a request claims of the length of its body brings no server down. */
import http2 from "node:http2";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, serve } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, pem, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;

/** Lengths that no body has. */
const ABSURD = [
  "Content-Length: 9223372036854775808",
  "Content-Length: 9223372036854775807",
  "Content-Length: 18446744073709551615",
  "Content-Length: 18446744073709551616",
  "Content-Length: 9007199254740992",
  "Content-Length: 9223372036854775807\r\nContent-Length: 9223372036854775807",
  "Content-Length: 5\r\nContent-Length: 6",
  "Content-Length: -1",
  "Content-Length: 0x5",
];

/** Lengths that a body might have, and that no machine has the memory for. */
const HUGE = ["9007199254740991", "4503599627370496", "1099511627776"];

/** A chunk claims its length, too. */
const CHUNKS = ["8000000000000000", "ffffffffffffffff", "7fffffffffffffff", "10000000000000000"];

/** Ways to read a body, and how long it is. */
const WAYS: Record<string, (request: Request) => Promise<number>> = {
  text: async (request) => (await request.text()).length,
  arrayBuffer: async (request) => (await request.arrayBuffer()).byteLength,
  bytes: async (request) => (await request.bytes()).length,
  clone: async (request) => (await request.clone().text()).length,
  copy: async (request) => (await new Request(request).text()).length,
};

async function startReading(engine: Engine, tls = false) {
  const reads: string[] = [];
  const server = await serve(async (request) => {
    const way = new URL(request.url).pathname.slice(1);
    if (way === "alive") return new Response("alive");
    reads.push(way);
    return new Response(`read ${await WAYS[way]!(request)}`);
  }, {
    port: 0,
    hostname: "127.0.0.1",
    engine,
    onError: () => new Response("failed", { status: 500 }),
    ...(tls ? pem : {}),
  });
  return { server, reads };
}

const served = engines.filter((engine) => engine.startsWith("deno"));

for (const engine of served) {
  const on = `[${runtime}, ${engine}]`;

  for (const header of ABSURD) {
    test(`${on} serve() refuses a request with ${header.replace("\r\n", ", ")}`, async () => {
      const { server, reads } = await startReading(engine);
      for (const way of Object.keys(WAYS)) {
        const client = await connect(server.addr);
        client.write(request(`POST /${way}`, header) + "hello");
        assertEquals((await deadline(client.response(), SOON)).status, 400);
        client.vanish();
      }
      assertEquals(reads, []);
      await server.close();
    });
  }

  for (
    const [what, framing, body] of [
      ...HUGE.map((length) => [length, `Content-Length: ${length}`, "hello"]),
      ...CHUNKS.map((size) => [`chunk ${size}`, "Transfer-Encoding: chunked", `${size}\r\nhello`]),
    ]
  ) {
    test(`${on} serve() sets nothing aside for a body that claims ${what}`, async () => {
      const { server } = await startReading(engine);
      for (const way of Object.keys(WAYS)) {
        const client = await connect(server.addr);
        client.write(request(`POST /${way}`, framing!) + body);
        // What is read goes on until the client does not; the others are answered meanwhile.
        const other = await connect(server.addr);
        other.write(request("/alive", "Connection: close"));
        assertEquals((await deadline(other.response(), SOON)).body, "alive");
        client.vanish();
      }
      await server.close();
    });
  }

  test(`${on} serve() refuses an HTTP/2 stream with such a length, and sets nothing aside`, async () => {
    const { server, reads } = await startReading(engine, true);
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    const statusOf = (path: string, headers: Record<string, string>) =>
      new Promise((resolve) => {
        const stream = session.request({ ":method": "POST", ":path": path, ...headers });
        stream.on("response", (headers) => resolve(headers[":status"]));
        stream.on("error", () => resolve("reset"));
        stream.write("hello");
      });
    const absurd = await deadline(
      statusOf("/text", { "content-length": "9007199254740992" }),
      SOON,
    );
    assertEquals(absurd, 400);
    void statusOf("/text", { "content-length": HUGE[0]! });
    assertEquals(await deadline(statusOf("/alive", {}), SOON), 200);
    assertEquals(reads, ["text"]);
    session.destroy();
    await server.close();
  });

  test(`${on} serve() receives a body of 140 MiB, streamed or with its length`, async () => {
    const { server } = await startReading(engine);
    const piece = new Uint8Array(1024 * 1024).fill(120);
    for (const way of ["bytes", "text", "copy"]) {
      let left = 140;
      const body = new ReadableStream({
        pull(controller) {
          if (left-- > 0) controller.enqueue(piece);
          else controller.close();
        },
      });
      // The cast: the types leave `duplex` out, which a streamed body needs.
      const init = { method: "POST", body, duplex: "half" } as RequestInit;
      const streamed = await fetch(`${server.url}${way}`, init);
      assertEquals(await streamed.text(), `read ${140 * piece.length}`);
      const whole = new Uint8Array(140 * piece.length).fill(120);
      const counted = await fetch(`${server.url}${way}`, { method: "POST", body: whole });
      assertEquals(await counted.text(), `read ${whole.length}`);
    }
    await server.shutdown();
  });
}
