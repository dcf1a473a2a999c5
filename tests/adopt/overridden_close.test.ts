/** The last response of a connection says so, whatever its handler wants it to say. */
import { after, test } from "node:test";
import http from "node:http";
import type net from "node:net";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type Engine, serve, type Server } from "../../mod.ts";
import { DrivenServer } from "../../src/server/driven_server.ts";
import { listening } from "../support/adopted.ts";
import { connect, request } from "../../support/client.ts";
import { BIG, engines, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 4_000;

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

/** An adopted server whose handler waits for a gate, and then answers in its own way. */
async function gated(
  answer: (res: http.ServerResponse) => void,
): Promise<{ server: Server; arrived: Promise<void>; proceed: () => void }> {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  const native: net.Server = http.createServer(async (_req, res) => {
    arrival.resolve();
    await gate.promise;
    answer(res);
  });
  await listening(native);
  const server = adopt(native);
  open.add(server);
  return { server, arrived: arrival.promise, proceed: gate.resolve };
}

const overrides: Record<string, (res: http.ServerResponse) => void> = {
  "sets keep-alive": (res) => {
    res.setHeader("Connection", "keep-alive");
    res.end("hello");
  },
  "removes the header": (res) => {
    res.removeHeader("connection");
    res.end("hello");
  },
  "writes a head with keep-alive": (res) => {
    res.writeHead(200, "Fine", { Connection: "keep-alive", "Content-Length": 5 });
    res.end("hello");
  },
  "writes a flat array with keep-alive": (res) => {
    res.writeHead(200, ["Connection", "keep-alive", "Content-Length", "5"]);
    res.end("hello");
  },
  "flushes a head with keep-alive": (res) => {
    res.setHeader("Connection", "keep-alive");
    res.flushHeaders();
    res.end("hello");
  },
};

for (const [what, answer] of Object.entries(overrides)) {
  for (const lameDuck of [false, true]) {
    const when = lameDuck ? "a lame duck" : "a drain";
    test(`[${runtime}] shutdown() of an adopted server closes behind the response of ${when} that ${what}`, async () => {
      const { server, arrived, proceed } = await gated(answer);
      const client = await connect(server.addr);
      client.write(request("/"));
      await deadline(arrived, SOON);
      assert(server instanceof DrivenServer);
      if (lameDuck) server.startLameDuck();
      const drained = lameDuck ? undefined : server.shutdown({ timeout: SOON });
      proceed();
      const { headers, body } = await deadline(client.response(), SOON);
      assertEquals([headers.connection, body], ["close", "hello"]);
      assertEquals(await deadline(client.closed, SOON), "end");
      if (drained !== undefined) assertEquals((await drained).reason, "drained");
    });
  }
}

const arrays: Record<string, http.OutgoingHttpHeader[] | [string, string][]> = {
  nested: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["Content-Length", "5"]],
  flat: ["Set-Cookie", "a=1", "Set-Cookie", "b=2", "Content-Length", "5"],
};

for (const [kind, headers] of Object.entries(arrays)) {
  test(`[${runtime}] adopt() lets writeHead() take a ${kind} array of headers during a drain as before`, async () => {
    const { server, arrived, proceed } = await gated((res) => {
      // The cast: the types leave out an array of pairs.
      res.writeHead(200, headers as http.OutgoingHttpHeader[]);
      res.end("hello");
    });
    const client = await connect(server.addr);
    client.write(request("/"));
    await deadline(arrived, SOON);
    const drained = server.shutdown({ timeout: SOON });
    proceed();
    const received = await deadline(client.take(/hello$/), SOON);
    assert(/set-cookie: a=1\r\n/i.test(received) && /set-cookie: b=2\r\n/i.test(received));
    assertEquals(received.match(/^connection: .*$/gim), ["connection: close"]);
    assertEquals((await drained).reason, "drained");
  });
}

for (const engine of engines) {
  test(`[${runtime}, ${engine}] serve() ends the connection of a response with keep-alive during a drain all the same`, async () => {
    const { server, arrived, proceed } = await gatedHandler(
      engine,
      () => new Response("hello", { headers: { connection: "keep-alive" } }),
    );
    const client = await connect(server.addr);
    client.write(request("/"));
    await deadline(arrived, SOON);
    const drained = server.shutdown({ timeout: SOON });
    proceed();
    const { headers, body } = await deadline(client.response(), SOON);
    assertEquals([headers.connection, body], ["close", "hello"]);
    assertEquals(await deadline(client.closed, SOON), "end");
    assertEquals((await drained).reason, "drained");
  });
}

async function gatedHandler(
  engine: Engine,
  answer: () => Response,
): Promise<{ server: Server; arrived: Promise<void>; proceed: () => void }> {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  const server = await serve(async () => {
    arrival.resolve();
    await gate.promise;
    return answer();
  }, { engine, port: 0, hostname: "127.0.0.1" });
  open.add(server);
  return { server, arrived: arrival.promise, proceed: gate.resolve };
}

for (const [how, isBunServe] of [["serve", false], ["adopt", true]] as const) {
  test(`[${runtime}] ${how}() says close on the last of two pipelined responses in flight`, async () => {
    const { server, arrived, proceed } = await pipelined(how);
    const client = await connect(server.addr);
    client.write(request("/wait") + request("/second"));
    await deadline(arrived, SOON);
    const drained = server.shutdown({ timeout: SOON });
    proceed();
    const responses = [
      await deadline(client.response(), SOON),
      await deadline(client.response(), SOON),
    ];
    // Bun's own HTTP has the second response in its hands before the first is over.
    const last = runtime === "bun" && !isBunServe ? "keep-alive" : "close";
    assertEquals(responses.map(({ body }) => body), ["hello", "hello"]);
    assertEquals(responses.map(({ headers }) => headers.connection), ["keep-alive", last]);
    assertEquals(await deadline(client.closed, SOON), "end");
    assertEquals((await drained).reason, "drained");
  });
}

/** A server on node:http that answers /second at once, and has had time to write its head. */
async function pipelined(
  how: "serve" | "adopt",
): Promise<{ server: Server; arrived: Promise<void>; proceed: () => void }> {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  const answer = async (path: string): Promise<string> => {
    if (path.endsWith("/wait")) await gate.promise;
    else setTimeout(() => arrival.resolve(), 20);
    return "hello";
  };
  let server: Server;
  if (how === "serve") {
    server = await serve(
      async ({ url }) => new Response(await answer(url)),
      { engine: "node", port: 0, hostname: "127.0.0.1" },
    );
  } else {
    const native = http.createServer(async ({ url = "" }, res) => void res.end(await answer(url)));
    await listening(native);
    server = adopt(native);
  }
  open.add(server);
  return { server, arrived: arrival.promise, proceed: gate.resolve };
}

/** In bytes: what a server has to take in that nobody has asked for. */
const UPLOAD = 4 * 1024 * 1024;

const headers = { "content-length": String(BIG) };
const waitingServers = {
  serve: () => gatedHandler("node", () => new Response(new Uint8Array(BIG), { headers })),
  adopt: () => gated((res) => void res.end(new Uint8Array(BIG))),
};

for (const [how, startServer] of Object.entries(waitingServers)) {
  test(`[${runtime}] ${how}() does not cut a response off for an upload that is pipelined behind it`, async () => {
    const { server, arrived, proceed } = await startServer();
    // A reset takes with it what the client has not read.
    const client = await connect(server.addr, { paused: true });
    client.write(request("/"));
    await deadline(arrived, SOON);
    const drained = server.shutdown({ timeout: SOON });
    client.write(request("POST /upload", `Content-Length: ${2 * UPLOAD}`));
    client.write("u".repeat(UPLOAD));
    proceed();
    client.socket.resume();
    assertEquals((await client.head()).headers.connection, "close");
    assertEquals(await deadline(client.countToEnd(), SOON), BIG);
    assertEquals((await drained).reason, "drained");
  });
}
