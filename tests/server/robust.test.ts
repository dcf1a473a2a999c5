/** What handlers, callbacks and clients do wrong holds up no drain and brings nothing down. */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { FastResponse } from "srvx/node";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import {
  adopt,
  type Handler,
  serve,
  type ServeOptions,
  ShutdownIncompleteError,
} from "../../mod.ts";
import { connect, request, webSocketUpgrade } from "../../support/client.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 4_000;

/** What a handler without a type checker may return, each made anew. */
const unsendable: Record<string, () => unknown> = {
  "nothing": () => undefined,
  "a number": () => 204,
  "a string": () => "hello",
  "a network error": () => Response.error(),
  "a used response": () => {
    const response = new Response("hello");
    void response.text();
    return response;
  },
};

/** Runs without what it writes to the console, which it returns. */
async function silently(fn: () => Promise<void>): Promise<unknown[]> {
  const { error } = console;
  const reported: unknown[] = [];
  console.error = (value: unknown) => void reported.push(value);
  try {
    await fn();
  } finally {
    console.error = error;
  }
  return reported;
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;
  const local: ServeOptions = { port: 0, hostname: "127.0.0.1", engine };

  for (const [what, make] of Object.entries(unsendable)) {
    for (const how of ["returns", "resolves with"]) {
      test(`${on} serve() answers 500 for a handler that ${how} ${what}`, async () => {
        const handler = (how === "returns" ? make : async () => await make()) as Handler;
        const errors: unknown[] = [];
        const onError = (error: unknown) => {
          errors.push(error);
          return new Response("failed", { status: 500 });
        };
        const server = await serve(handler, { ...local, onError });
        const client = await connect(server.addr);
        client.write(request("/"));
        const { status, body } = await deadline(client.response(), SOON);
        assertEquals([status, body, errors.length], [500, "failed", 1]);
        client.socket.end();
        await deadline(server.shutdown(), SOON);
      });
    }
  }

  test(`${on} serve() reports an onError that fails itself, and answers 500`, async () => {
    const failures: (() => Response)[] = [
      () => {
        throw new Error("of onError");
      },
      () => undefined as unknown as Response,
    ];
    for (const onError of failures) {
      const server = await serve(() => {
        throw new Error("of a handler");
      }, { ...local, onError });
      const reported = await silently(async () => {
        const client = await connect(server.addr);
        client.write(request("/"));
        assertEquals((await deadline(client.response(), SOON)).status, 500);
        client.socket.end();
      });
      assertEquals(reported.length, 1);
      await deadline(server.shutdown(), SOON);
    }
  });

  test(`${on} serve() leaves nothing open when onListen throws`, async () => {
    let port = 0;
    const onListen: ServeOptions["onListen"] = (addr) => {
      assert(addr.transport === "tcp");
      port = addr.port;
      throw new Error("of onListen");
    };
    await assertRejects(() => serve(() => new Response(), { ...local, onListen }), Error, "of onL");
    await (await serve(() => new Response(), { ...local, port })).close();
  });

  test(`${on} shutdown() has a report in spite of a host that is none`, async () => {
    const fixture = await start(engine);
    const server = await serve(() => new Promise<Response>(() => {}), local);
    const client = await connect(server.addr);
    client.write("GET /path?query HTTP/1.1\r\nHost: bad host^\r\n\r\n");
    // Bun answers it by itself, with 400.
    if (engine !== "bun") {
      while (server.connections()[0]?.path !== "/path") await fixture.settled();
      await assertRejects(() => server.shutdown({ timeout: 20 }), ShutdownIncompleteError, "/path");
    }
    await server.close();
    await client.closed;
  });

  test(`${on} shutdown() finds nothing left of a hundred clients that vanished`, async () => {
    const fixture = await start(engine);
    for (let i = 0; i < 20; i++) {
      const requests = [
        "",
        request("/wait"),
        request("/stream"),
        request("POST /upload", "Content-Length: 10") + "12345",
        request("/big-stream"),
      ];
      for (const bytes of requests) {
        const client = await connect(fixture.server.addr);
        if (bytes !== "") client.write(bytes);
        client.vanish();
      }
    }
    fixture.open();
    assertEquals((await deadline(fixture.server.shutdown(), SOON)).reason, "drained");
  });

  if (engine === "node" || engine === "deno") {
    test(`${on} onConnState that throws is reported, and the request answered`, async () => {
      const onConnState = () => {
        throw new Error("of onConnState");
      };
      const server = await serve(() => new Response("hello"), { ...local, onConnState });
      const reported = await silently(async () => {
        const client = await connect(server.addr);
        client.write(request("/", "Connection: close"));
        assertEquals((await deadline(client.response(), SOON)).body, "hello");
        await client.closed;
        await deadline(server.shutdown(), SOON);
      });
      assertEquals(new Set(reported.map(String)), new Set(["Error: of onConnState"]));
    });
  }
}

/** At the same time, for each takes 5 s. */
const tlsEngines = engines.filter((engine) => engine !== "deno-serve");
test(`[${runtime}] shutdown() gives up a TLS client at 5 s that does not go on after its first bytes`, async () => {
  await Promise.all(tlsEngines.map(async (engine) => {
    const fixture = await start(engine, pem);
    const { addr } = fixture.server;
    assert(addr.transport === "tcp");
    const socket = net.connect(addr.port, addr.hostname);
    await once(socket, "connect");
    // The head of a record that says it is a ClientHello.
    socket.write(new Uint8Array([22, 3, 1, 2, 0, 1]));
    const silent = await connect(addr, { alpn: "http/1.1" });
    await fixture.settled();
    const report = await fixture.server.shutdown({ timeout: 8_000 });
    assertEquals(report.reason, "drained");
    await silent.closed;
    socket.destroy();
  }));
});

test(`[${runtime}, node] serve() takes the faster Response of srvx`, async () => {
  const server = await serve(() => new FastResponse("hello"), { port: 0, engine: "node" });
  const response = await fetch(server.url);
  assertEquals([await response.text(), response.headers.get("content-length")], ["hello", "5"]);
  await server.close();
});

if (runtime === "deno") {
  test("[deno, deno] shutdown() finds nothing left of clients that vanished during the upgrade to a WebSocket", async () => {
    const { Deno } = globalThis as unknown as {
      Deno: { upgradeWebSocket(request: Request): { response: Response } };
    };
    const server = await serve((request) => Deno.upgradeWebSocket(request).response, {
      port: 0,
      engine: "deno",
    });
    for (let i = 0; i < 100; i++) {
      const client = await connect(server.addr);
      client.write(webSocketUpgrade);
      client.vanish();
    }
    assertEquals((await deadline(server.shutdown(), SOON)).reason, "drained");
  });
}

if (runtime === "bun") {
  test("[bun] serve() forgets requests that are over, on unix sockets too", async () => {
    const fixture = await start("bun");
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => connect(fixture.server.addr)),
    );
    for (let i = 0; i < 200; i++) {
      for (const client of clients) client.write(request("/hello"));
      for (const client of clients) await client.response();
    }
    assertEquals(fixture.server.connections().filter(({ state }) => state === "active"), []);
    await fixture.server.close();
  });
}

test(`[${runtime}] shutdown() takes an adopted server that does not listen, and one that was closed`, async () => {
  const never = adopt(http.createServer());
  assertEquals((await deadline(never.shutdown(), SOON)).reason, "drained");
  const native = http.createServer();
  const server = adopt(native);
  await once(native.listen(0, "127.0.0.1"), "listening");
  native.close();
  assertEquals((await deadline(server.shutdown(), SOON)).reason, "drained");
  await deadline(server.finished, SOON);
});
