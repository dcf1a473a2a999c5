/** How the engine "node" frames responses: by `Content-Length` where the length of the body is known. */
import { once } from "node:events";
import { after, test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { type Handler, serve } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 5_000;

const bytes = new TextEncoder().encode("hello");

/** Returns a stream that has ended before anybody reads it. */
function ended(...chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

/** Returns a stream that takes several turns of the event loop for its chunks. */
function slow(...chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
  });
}

type Framing = { status?: number; length?: string; chunked?: string; body: string };

/** What handlers return, and how it is sent in answer to a GET. */
const cases: Record<string, [make: () => Response, framing: Framing]> = {
  "a string": [() => new Response("héllo"), { length: "6", body: "hÃ©llo" }],
  "an empty string": [() => new Response(""), { length: "0", body: "" }],
  "bytes": [() => new Response(bytes), { length: "5", body: "hello" }],
  "a buffer": [() => new Response(bytes.slice().buffer), { length: "5", body: "hello" }],
  "parameters": [() => new Response(new URLSearchParams("a=b")), { length: "3", body: "a=b" }],
  "JSON": [() => Response.json({ a: 1 }), { length: "7", body: '{"a":1}' }],
  "no body": [() => new Response(), { length: "0", body: "" }],
  "a redirect": [
    () => Response.redirect("http://localhost/other"),
    { status: 302, length: "0", body: "" },
  ],
  "status 204": [() => new Response(null, { status: 204 }), { status: 204, body: "" }],
  "status 304": [() => new Response(null, { status: 304 }), { status: 304, body: "" }],
  "a stream that has ended": [() => new Response(ended(bytes)), { length: "5", body: "hello" }],
  "an empty stream": [() => new Response(ended()), { length: "0", body: "" }],
  "a stream of two chunks": [
    () => new Response(ended(bytes, bytes)),
    { chunked: "chunked", body: "hellohello" },
  ],
  "a slow stream": [
    () => new Response(slow(bytes, bytes, bytes)),
    { chunked: "chunked", body: "hellohellohello" },
  ],
  "a slow stream with a length of its own": [
    () => new Response(slow(bytes, bytes), { headers: { "content-length": "10" } }),
    { length: "10", body: "hellohello" },
  ],
  "a string with a length of its own": [
    () => new Response("hello", { headers: { "content-length": "5" } }),
    { length: "5", body: "hello" },
  ],
};

async function answerTo(method: string, handler: Handler) {
  const server = await serve(handler, { port: 0, hostname: "127.0.0.1", engine: "node" });
  const client = await connect(server.addr);
  client.write(request(`${method} /`));
  const answer = await deadline(client.response(method === "HEAD"), SOON);
  // The next response on the connection shows that the first one has ended where it says.
  client.write(request("HEAD /"));
  assertEquals((await deadline(client.response(true), SOON)).status, answer.status);
  client.vanish();
  await server.close();
  const { status, body, headers } = answer;
  return {
    status,
    body,
    length: headers["content-length"],
    chunked: headers["transfer-encoding"],
  };
}

for (const [what, [make, framing]] of Object.entries(cases)) {
  const expected = { status: 200, length: undefined, chunked: undefined, ...framing };

  test(`[${runtime}, node] serve() frames ${what}`, async () => {
    assertEquals(await answerTo("GET", make), expected);
  });

  test(`[${runtime}, node] serve() answers a HEAD with the head of ${what}`, async () => {
    // Without a body there is nothing that would tell the length of the response to a GET.
    const isUnknown = expected.body === "" && make().body === null;
    const length = isUnknown ? undefined : expected.length;
    assertEquals(await answerTo("HEAD", make), {
      ...expected,
      length,
      chunked: undefined,
      body: "",
    });
  });
}

test(`[${runtime}, node] serve() cancels the stream of a HEAD that has not ended`, async () => {
  const canceled = Promise.withResolvers<void>();
  await answerTo("HEAD", () => new Response(new ReadableStream({ cancel: canceled.resolve })));
  await deadline(canceled.promise, SOON);
});

test(`[${runtime}, node] serve() cancels the stream of a client that has left`, async () => {
  const canceled = Promise.withResolvers<void>();
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(bytes),
    cancel: canceled.resolve,
  });
  const options = { port: 0, hostname: "127.0.0.1", engine: "node" } as const;
  const server = await serve(() => new Response(body), options);
  const client = await connect(server.addr);
  client.write(request("/"));
  await deadline(client.take(/hello/), SOON);
  client.vanish();
  await deadline(canceled.promise, SOON);
  await server.close();
});

test(`[${runtime}, node] serve() tells onError of a body that fails, and cuts the response off`, async () => {
  const errors: unknown[] = [];
  const fault = new Error("thrown on purpose");
  for (const body of [slow(bytes), ended()]) {
    const failing = body.pipeThrough(
      new TransformStream({
        flush: () => {
          throw fault;
        },
      }),
    );
    const server = await serve(() => new Response(failing), {
      port: 0,
      hostname: "127.0.0.1",
      engine: "node",
      onError: (error) => {
        errors.push(error);
        return new Response();
      },
    });
    const client = await connect(server.addr);
    client.write(request("/"));
    await deadline(client.closed, SOON);
    await server.close();
  }
  assertEquals(errors, [fault, fault]);
});

if (runtime === "node") {
  test("[node, node] serve() writes the head and a short body in one packet", async () => {
    for (const make of [() => new Response("hello"), () => new Response(bytes)]) {
      const options = { port: 0, hostname: "127.0.0.1", engine: "node" } as const;
      const server = await serve(make, options);
      const client = await connect(server.addr);
      client.write(request("/"));
      const [packet] = await deadline(once(client.socket, "data"), SOON);
      assertEquals(String(packet).endsWith("\r\n\r\nhello"), true);
      client.vanish();
      await server.close();
    }
  });
}

test(`[${runtime}, node] serve() says 100 Continue before the head of a response that waits in a pipeline`, async () => {
  const gate = Promise.withResolvers<void>();
  const server = await serve(async (request) => {
    if (request.method === "POST") return new Response(`got ${(await request.text()).length}`);
    await gate.promise;
    return new Response("waited");
  }, { port: 0, hostname: "127.0.0.1", engine: "node" });
  after(() => server.close());
  const client = await connect(server.addr);
  client.write(request("/") + request("POST /", "Content-Length: 5", "Expect: 100-continue"));
  client.write("12345");
  while (server.connections()[0]?.method !== "POST") await delay(1);
  // The handler of the upload has answered, and its response waits.
  await delay(20);
  gate.resolve();
  assertEquals((await deadline(client.response(), SOON)).body, "waited");
  assertEquals((await deadline(client.head(), SOON)).status, 100);
  assertEquals((await deadline(client.response(), SOON)).body, "got 5");
});
