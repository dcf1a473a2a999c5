/** The options of an engine itself are passed on to it, and the rules of a shutdown hold with them. */
import { test } from "node:test";
import { once } from "node:events";
import http2 from "node:http2";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Engine, serve, type ServeInfo, type ServeOptions, type Server } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { run } from "../support/process.ts";
import { type Fixture, pem, runtime, start } from "../support/fixture.ts";

test(`[${runtime}] serve() ignores the options of other runtimes`, async () => {
  const blocks: Record<typeof runtime, ServeOptions> = {
    node: { deno: { automaticCompression: true }, bun: { idleTimeout: 1 } },
    deno: { node: { requestTimeout: 1 }, bun: { idleTimeout: 1 } },
    bun: { node: { requestTimeout: 1 }, deno: { automaticCompression: true } },
  };
  const { server } = await start("auto" as Engine, blocks[runtime]);
  assertEquals(server.engine, runtime);
  assertEquals(await (await fetch(`${server.url}hello`)).text(), "hello");
  await server.shutdown();
});

test(`[${runtime}] serve() checks 'bun.http3' on Bun alone`, async () => {
  const options = { ...pem, bun: { http3: true }, handoff: "auto" } as const;
  if (runtime === "bun") {
    await assertRejects(
      () => start("auto" as Engine, options),
      TypeError,
      "'bun.http3' must be absent",
    );
  } else {
    const { server } = await start("auto" as Engine, options);
    assertEquals(server.handoff, "inherit");
    await server.close();
  }
});

if (runtime === "node") {
  test("[node] serve() passes 'node' on to node:http", async () => {
    const { server } = await start("node", { node: { maxHeaderSize: 2_048 } });
    const response = await fetch(`${server.url}hello`, { headers: { big: "x".repeat(4_000) } });
    assertEquals(response.status, 431);
    await response.body?.cancel();
    await server.shutdown();
  });

  test("[node] serve() passes 'node' on to node:http2, and keeps cert and key", async () => {
    const { server } = await start("node", {
      ...pem,
      node: { settings: { maxConcurrentStreams: 7 }, maxHeaderSize: 2_048 },
    });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    const [settings] = await once(session, "remoteSettings");
    assertEquals(settings.maxConcurrentStreams, 7);
    const client = await connect(server.addr, { alpn: "http/1.1" });
    client.write(request("/hello", `big: ${"x".repeat(4_000)}`));
    assertEquals((await client.response()).status, 431);
    await server.shutdown();
    session.destroy();
  });

  test("[node] 'node.requestTimeout' may be shorter than 'headerTimeout', and that longer than Node's default", async () => {
    for (
      const options of [{ node: { requestTimeout: 30_000 } }, { headerTimeout: 400_000 }, {
        headerTimeout: 0,
      }]
    ) {
      const { server } = await start("node", options);
      assertEquals(await (await fetch(`${server.url}hello`)).text(), "hello");
      await server.shutdown();
    }
  });

  test("[node] serve() takes an undefined option in 'node' for the default", async () => {
    const { server } = await start("node", { node: { keepAliveTimeout: undefined } });
    const client = await connect(server.addr);
    client.write(request("/hello"));
    const { headers } = await client.response();
    assertEquals(headers["keep-alive"], "timeout=65");
    await server.shutdown();
  });

  test("[node] serve() lets Node check the values of 'node' before it listens", async () => {
    await assertRejects(
      // @ts-expect-error: what a caller without a type checker may pass.
      () => start("node", { node: { maxHeaderSize: "big" } }),
      TypeError,
      "maxHeaderSize",
    );
  });
}

if (runtime === "deno") {
  const compressed = () =>
    new Response("hello ".repeat(1_000), { headers: { "content-type": "text/plain" } });

  test("[deno] serve() passes 'deno' on to Deno.serve, which is then the engine", async () => {
    const server = await serve(compressed, {
      port: 0,
      hostname: "127.0.0.1",
      deno: { automaticCompression: true },
    });
    assertEquals(server.engine, "deno-serve");
    const client = await connect(server.addr);
    client.write(request("/", "Accept-Encoding: gzip"));
    await client.take(/content-encoding: gzip\r\n/i);
    await server.close();
  });

  const conflicts: ServeOptions[] = [
    { idleTimeout: 1_000 },
    { onConnState: () => {} },
    { ...pem, minVersion: "TLSv1.3" },
  ];
  for (const options of conflicts) {
    const name = Object.keys(options).at(-1)!;
    test(`[deno] serve() says that '${name}' conflicts with 'deno'`, async () => {
      await assertRejects(
        () => start("auto" as Engine, { deno: { automaticCompression: true }, ...options }),
        TypeError,
        `Cannot serve as '${name}' must be`,
      );
    });
  }

  test("[deno] serve() says which option has chosen the engine node, and what permission that needs", async () => {
    const files = ["cert.pem", "key.pem"].map((name) =>
      fileURLToPath(new URL(`../support/${name}`, import.meta.url))
    );
    const permissions = ["--allow-net", "--allow-read"];
    // With NO_COLOR Deno does not ask for TERM.
    const program = run("client_certificates.ts", files, permissions, { NO_COLOR: undefined });
    const message = await program.says(/NotCapable: (.*)/);
    assertStringIncludes(message, "Cannot serve as 'requestCert' must be absent");
    assertStringIncludes(message, 'or else the engine is "node", which needs --allow-env');
  });

  for (const engine of ["deno", "node"] as const) {
    test(`[deno] serve() refuses 'deno' with the engine ${engine}`, async () => {
      await assertRejects(
        () => start(engine, { deno: { automaticCompression: true } }),
        TypeError,
        `Cannot serve as 'deno' must be absent on every engine but "deno-serve": current engine is "${engine}"`,
      );
    });
  }
}

if (runtime === "bun") {
  // The casts: the types of the other runtimes do not know Bun's namespace, and the route needs no info.
  const { file } = (globalThis as unknown as { Bun: { file(url: URL): unknown } }).Bun;
  const noInfo = undefined as unknown as ServeInfo;

  /** Starts a server with routes, the slow ones among which wait for the gate of the fixture. */
  const withRoutes = async (options: ServeOptions = {}): Promise<Fixture> => {
    const fixture: Fixture = await start("bun", {
      ...options,
      bun: {
        routes: {
          "/static": new Response("static", { headers: { "x-route": "static" } }),
          "/file": file(new URL(import.meta.url)),
          "/function/:id": ({ params }: { params: { id: string } }) => new Response(params.id),
          "/slow": (request: Request) =>
            fixture.handler(new Request(new URL("/wait", request.url)), noInfo),
          "/methods": {
            GET: new Response("got"),
            POST: async (request: Request) => new Response(await request.text()),
          },
          "/throws": () => {
            throw new Error("thrown by a route");
          },
          "/off": false,
        },
        ...options.bun,
      },
    });
    return fixture;
  };
  const text = async (server: Server, path: string, init?: RequestInit) =>
    await (await fetch(new URL(path, server.url), init)).text();

  test("[bun] serve() passes 'bun.routes' on to Bun", async () => {
    const { server, errors } = await withRoutes();
    assertEquals(await text(server, "/static"), "static");
    assert((await text(server, "/file")).includes("the rules of a shutdown hold"));
    assertEquals(await text(server, "/function/7"), "7");
    assertEquals(await text(server, "/methods"), "got");
    assertEquals(await text(server, "/methods", { method: "POST", body: "posted" }), "posted");
    assertEquals(await text(server, "/hello"), "hello");
    assertEquals(await text(server, "/off"), "no such route");
    assertEquals(await text(server, "/throws"), "failed");
    assertEquals(errors.map(String), ["Error: thrown by a route"]);
    await server.shutdown();
  });

  test("[bun] shutdown() waits for the function of a route, whose response says close", async () => {
    const fixture = await withRoutes();
    const { server } = fixture;
    const client = await connect(server.addr);
    client.write(request("/slow"));
    await fixture.arrived("/wait");
    assertEquals(server.connections().map(({ state, path }) => [state, path]), [[
      "active",
      "/slow",
    ]]);
    const stopped = server.shutdown();
    fixture.open();
    const response = await client.response();
    assertEquals([response.body, response.headers["connection"]], ["waited", "close"]);
    assertEquals((await stopped).drained, 1);
  });

  test("[bun] shutdown() has the responses of static routes say close", async () => {
    for (const path of ["/static", "/file", "/methods"]) {
      const { server } = await withRoutes();
      const client = await connect(server.addr);
      client.write(request(path));
      const { headers } = await client.response();
      assertEquals(headers["connection"], undefined);
      const stopped = server.shutdown({ idleGrace: 5_000 });
      client.write(request(path));
      const last = await client.response();
      assertEquals([last.status, last.headers["connection"]], [200, "close"]);
      if (path === "/static") assertEquals(last.headers["x-route"], "static");
      assertEquals(await client.closed, "end");
      await stopped;
    }
  });

  test("[bun] serve() passes limits of 'bun' on to Bun", async () => {
    const { server } = await start("bun", { bun: { maxRequestBodySize: 10 } });
    const response = await fetch(`${server.url}upload`, { method: "POST", body: "x".repeat(11) });
    assertEquals(response.status, 413);
    await server.shutdown();
  });

  test("[bun] serve() takes an undefined option in 'bun' for the default", async () => {
    const { server } = await start("bun", { bun: { maxRequestBodySize: undefined } });
    const body = new Uint8Array(129 * 1024 * 1024);
    assertEquals(await text(server, "/upload", { method: "POST", body }), `got ${body.length}`);
    await server.shutdown();
  });

  test("[bun] serve() refuses 'bun' with the engine node", async () => {
    await assertRejects(
      () => start("node", { bun: { idleTimeout: 1 } }),
      TypeError,
      `Cannot serve as 'bun' must be absent on every engine but "bun": current engine is "node"`,
    );
  });

  test("[bun] serve() refuses 'bun.http3' for a listener that can be handed over", async () => {
    await assertRejects(
      () => start("bun", { ...pem, bun: { http3: true }, handoff: "auto" }),
      TypeError,
      "'bun.http3' must be absent where the listener is inherited or can be handed over",
    );
  });

  test("[bun] shutdown() answers HTTP/3 requests in flight, and takes no new connection", async () => {
    const fixture = await start("bun", { ...pem, bun: { http3: true } });
    const get = async (path: string) => {
      const init = { protocol: "http3", tls: { rejectUnauthorized: false } };
      return await (await fetch(`${fixture.server.url}${path}`, init as RequestInit)).text();
    };
    assertEquals(await get("hello"), "hello");
    const waiting = get("wait");
    await fixture.arrived("/wait");
    const stopped = fixture.server.shutdown();
    fixture.open();
    assertEquals(await waiting, "waited");
    await stopped;
  });
}

const OF_TLS = {
  pfx: "'cert'",
  passphrase: "'passphrase'",
  ca: "'ca'",
  requestCert: "'requestCert'",
  rejectUnauthorized: "'rejectUnauthorized'",
  SNICallback: "'certificates'",
  ALPNProtocols: "'alpnProtocols'",
  ALPNCallback: "'alpnProtocols'",
  allowHTTP1: "'alpnProtocols'",
};

test(`[${runtime}] serve() refuses options of TLS in 'node' that it has itself`, async () => {
  for (const [name, advice] of Object.entries(OF_TLS)) {
    const error = await assertRejects(
      // The cast: no type checker lets such options pass.
      () => start("node", { ...pem, node: { [name]: true } as never }),
      TypeError,
      `'node.${name}' is not an option`,
    );
    assertStringIncludes(error.message, advice);
  }
});
