/** What `server.native` of Bun changes or is asked keeps the rules of this package. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { serve, type Server } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { pem, runtime } from "../support/fixture.ts";

interface BunNative {
  reload(options: Record<string, unknown>): void;
  requestIP(request: Request): { address: string; port: number } | null;
  timeout(request: Request, seconds: number): void;
}

function native(server: Server): BunNative {
  // The cast: the engine is "bun".
  return server.native as unknown as BunNative;
}

const LISTEN = { port: 0, hostname: "127.0.0.1" };
const INSECURE = { tls: { rejectUnauthorized: false } };

async function text(server: Server, path: string): Promise<string> {
  // The cast: an option of Bun's fetch.
  return await (await fetch(new URL(path, server.url), INSECURE as RequestInit)).text();
}

if (runtime === "bun") {
  test("[bun] shutdown() drains the handler that reload() of server.native has set", async () => {
    await using server = await serve(() => new Response("first"), LISTEN);
    assertEquals(await text(server, "/"), "first");
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    native(server).reload({
      async fetch(): Promise<Response> {
        arrived.resolve();
        await gate.promise;
        return new Response("second");
      },
    });
    const client = await connect(server.addr);
    client.write(request("/slow"));
    await arrived.promise;
    assertEquals(server.connections().map(({ state, path }) => [state, path]).at(0), [
      "active",
      "/slow",
    ]);
    const stopped = server.shutdown();
    gate.resolve();
    const response = await client.response();
    assertEquals([response.body, response.headers["connection"]], ["second", "close"]);
    assertEquals((await stopped).drained, 1);
  });

  test("[bun] shutdown() has routes say close that reload() of server.native has set", async () => {
    await using server = await serve(() => new Response("handler"), LISTEN);
    native(server).reload({ routes: { "/static": new Response("static") } });
    assertEquals(await text(server, "/static"), "static");
    assertEquals(await text(server, "/"), "handler");
    const client = await connect(server.addr);
    client.write(request("/static"));
    assertEquals((await client.response()).headers["connection"], undefined);
    const stopped = server.shutdown({ idleGrace: 5_000 });
    client.write(request("/static"));
    assertEquals((await client.response()).headers["connection"], "close");
    await stopped;
  });

  test("[bun] setCertificate() keeps what reload() of server.native has set", async () => {
    await using server = await serve(() => new Response("first"), { ...LISTEN, ...pem });
    native(server).reload({ fetch: () => new Response("second") });
    await server.setCertificate(pem);
    assertEquals(await text(server, "/"), "second");
  });

  test("[bun] reload() of server.native refuses what serve() has set", async () => {
    await using server = await serve(() => new Response("first"), LISTEN);
    assertThrows(
      () => native(server).reload({ error: () => new Response("failed") }),
      TypeError,
      "Cannot reload as 'error' is not an option: use 'onError' of serve()",
    );
    assertEquals(await text(server, "/"), "first");
  });

  test("[bun] requestIP() and timeout() of server.native know a request with a limited body", async () => {
    await using server: Server = await serve(async (request, info) => {
      native(server).timeout(request, 5);
      assert((await request.text()).length === 6);
      return Response.json([native(server).requestIP(request)?.port, info.remoteAddr]);
    }, { ...LISTEN, maxBodySize: 10 });
    const client = await connect(server.addr);
    const head = request("/", "Transfer-Encoding: chunked").replace("GET", "POST");
    client.write(`${head}6\r\nchunks\r\n0\r\n\r\n`);
    const [port, remote] = JSON.parse((await client.response()).body);
    assertEquals(port, remote.port);
  });
}
