/** What Bun tells of uploads, and what a drain makes of it. The engine "node" knows all of it by itself. */
import { test } from "node:test";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type NativeServer, serve, type Server } from "../../mod.ts";
import { bun } from "../../src/runtime/api/bun.ts";
import { connect, request } from "../../support/client.ts";
import { hasKernelHelp, runtime, temporaryFolder } from "../support/fixture.ts";

/** In ms. */
const SOON = 12_000;

/** In bytes: more than what is read ahead of a handler. */
const LARGE = 2_000_000;

const path = join(temporaryFolder(), "socket");

type Where = { port: number; hostname: string } | { path: string };

const tcp: Where = { port: 0, hostname: "127.0.0.1" };

/** Answers an upload in the way that its path names. */
async function handler(request: Request): Promise<Response> {
  const { body } = request;
  switch (new URL(request.url).pathname) {
    case "/throw":
      for await (const _chunk of body ?? []) throw new Error("thrown while reading");
      break;
    case "/cancel":
      await body?.cancel();
      break;
    case "/text":
      return new Response(String((await request.text()).length));
    case "/loop": {
      let size = 0;
      for await (const chunk of body ?? []) size += chunk.length;
      return new Response(String(size));
    }
    case "/reader": {
      const reader = body!.getReader();
      let size = 0;
      for (let part; !(part = await reader.read()).done;) size += part.value.length;
      return new Response(String(size));
    }
  }
  return new Response("done");
}

const starts = {
  "engine bun": (where: Where) =>
    serve(handler, {
      ...where,
      engine: "bun",
      onError: () => new Response("failed", { status: 500 }),
    }),
  "adopted Bun.serve": (where: Where) => {
    const listen = "path" in where ? { unix: where.path } : where;
    const native = bun().serve({ ...listen, idleTimeout: 0, fetch: handler });
    // The cast: the package declares only what it uses of the server.
    return Promise.resolve(adopt(native as unknown as NativeServer));
  },
};

/** An upload that was answered before the drain, of which the client sends the rest during the drain. */
async function drainWithRest(server: Server, what: string): Promise<number> {
  const client = await connect(server.addr);
  client.write(request(`POST ${what}`, `Content-Length: ${LARGE}`) + "x".repeat(LARGE / 2));
  assertEquals((await deadline(client.response(), SOON)).status, what === "/throw" ? 500 : 200);
  const done = server.shutdown({ timeout: SOON });
  await new Promise((resolve) => setTimeout(resolve, 100));
  client.write("x".repeat(LARGE / 2));
  const { duration, connections } = await deadline(done, SOON);
  assertEquals(connections, []);
  await deadline(client.closed, SOON);
  return duration;
}

if (runtime === "bun" && hasKernelHelp) {
  const cases = [
    ["engine bun", "/throw"],
    ["engine bun", "/cancel"],
    ["engine bun", "/early"],
    ["adopted Bun.serve", "/cancel"],
    ["adopted Bun.serve", "/early"],
  ] as const;
  for (const [kind, what] of cases) {
    test(`[bun, ${kind}] shutdown() ends the upload of ${what} after half a second`, async () => {
      const duration = await drainWithRest(await starts[kind](tcp), what);
      assert(duration > 400 && duration < 2_500, `it took ${duration} ms`);
    });

    // Neither Bun nor the kernel tells such a connection from one that has sent half a head.
    test(`[bun, ${kind}, unix] shutdown() ends the upload of ${what} after 5 s`, async () => {
      const duration = await drainWithRest(await starts[kind]({ path }), what);
      assert(duration > 4_500 && duration < 7_500, `it took ${duration} ms`);
    });
  }

  test("[bun, adopted Bun.serve] shutdown() ends after 5 s an upload whose client had stopped", async () => {
    const server = await starts["adopted Bun.serve"](tcp);
    const client = await connect(server.addr);
    client.write(request("POST /early", `Content-Length: ${LARGE}`) + "x".repeat(LARGE / 2));
    await deadline(client.response(), SOON);
    client.write("x".repeat(LARGE / 4));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { duration } = await deadline(server.shutdown({ timeout: SOON }), SOON);
    assert(duration > 4_500 && duration < 7_500, `it took ${duration} ms`);
    await deadline(client.closed, SOON);
  });

  // What a reader leaves unread, and what it reads to the end, leave the same traces.
  for (const [what, isServed] of [["/text", true], ["/loop", true], ["/reader", false]] as const) {
    test(
      `[bun, engine bun] shutdown() ${
        isServed ? "serves" : "closes"
      } a half head behind an upload that ${what} has read`,
      async () => {
        const server = await starts["engine bun"](tcp);
        const client = await connect(server.addr);
        client.write(request(`POST ${what}`, "Content-Length: 3") + "abc");
        assertEquals((await deadline(client.response(), SOON)).body, "3");
        client.write("GET / HTTP/1.1\r\nHo");
        await new Promise((resolve) => setTimeout(resolve, 100));
        const done = server.shutdown({ timeout: SOON });
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        client.write("st: test\r\n\r\n");
        if (isServed) assertEquals((await deadline(client.response(), SOON)).body, "done");
        await deadline(client.closed, SOON);
        assertEquals(client.received, "");
        await deadline(done, SOON);
      },
    );
  }

  test("[bun, adopted Bun.serve] shutdown() serves a client until idleGrace ends, and then cuts it off", async () => {
    const server = await starts["adopted Bun.serve"](tcp);
    const client = await connect(server.addr);
    const start = performance.now();
    let answered = start;
    const requests = (async () => {
      for (;;) {
        client.write(request("/"));
        const { headers } = await client.response();
        // Bun does not let a program change the responses of a server that it did not start.
        assertEquals(headers["connection"], undefined);
        answered = performance.now();
      }
    })().catch(() => "cut off");
    const done = server.shutdown({ timeout: SOON, idleGrace: 500 });
    assertEquals(await deadline(requests, SOON), "cut off");
    assert(answered - start > 400, `the last answer came after ${answered - start} ms`);
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });
} else {
  test(`[${runtime}] serve() has no server of Bun here`, () => {});
}
