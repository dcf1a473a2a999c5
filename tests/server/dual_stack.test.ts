/**
 * Servers at `::`, `::1` and `localhost`. At `::` a server has clients of both families, and an IPv4 client has its
 * plain address on every engine, as in Go.
 */
import { test } from "node:test";
import { deadline } from "@std/async";
import { assert, assertEquals } from "@std/assert";
import { connect, type RawClient, request } from "../../support/client.ts";
import { engines, type Fixture, runtime, start } from "../support/fixture.ts";

/** In ms: a drain that takes longer waits for a connection that it does not recognize. */
const SOON = 4_500;

function port({ server }: Fixture): number {
  assert(server.addr.transport === "tcp");
  return server.addr.port;
}

async function clientAt(fixture: Fixture, hostname: string): Promise<RawClient> {
  return await connect({ transport: "tcp", hostname, port: port(fixture) });
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} serve() listens on IPv4 alone by default, and says so`, async () => {
    const { server } = await start(engine, { hostname: undefined });
    assert(server.addr.transport === "tcp");
    assertEquals(server.addr.hostname, "0.0.0.0");
    assertEquals(server.url, `http://localhost:${server.addr.port}/`);
    await server.shutdown();
  });

  for (const [hostname, client] of [["::", "127.0.0.1"], ["::", "::1"], ["::1", "::1"]] as const) {
    test(`${on} shutdown() at ${hostname} answers the client ${client}, whose address is plain`, async () => {
      const fixture = await start(engine, { hostname });
      const busy = await clientAt(fixture, client);
      busy.write(request("/wait"));
      await fixture.arrived("/wait");
      const idle = await clientAt(fixture, client);
      idle.write(request("/hello"));
      await idle.response();
      const conns = fixture.server.connections();
      assert(conns.length > 0);
      for (const { remoteAddr } of conns) {
        assert(remoteAddr.transport === "tcp");
        assertEquals(remoteAddr.hostname, client);
      }
      assertEquals(conns.filter(({ state }) => state === "active").length, 1);
      const stopped = fixture.server.shutdown();
      assertEquals(await idle.closed, "end");
      fixture.open();
      assertEquals((await busy.response()).body, "waited");
      assertEquals((await deadline(stopped, SOON)).drained, 1);
    });
  }

  // The own shutdown of Deno waits for the rest of an upload at every address.
  const endsUploads = engine !== "deno-serve";
  if (endsUploads) {
    test(`${on} shutdown() at :: ends an unread upload of an IPv4 client`, async () => {
      const fixture = await start(engine, { hostname: "::" });
      const client = await clientAt(fixture, "127.0.0.1");
      client.write(
        `POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n${"x".repeat(9)}`,
      );
      assertEquals((await client.response()).body, "hello");
      await deadline(fixture.server.shutdown(), SOON);
    });
  }

  test(`${on} serve() listens at the address of localhost`, async () => {
    const { server } = await start(engine, { hostname: "localhost" });
    assert(server.addr.transport === "tcp");
    assert(["127.0.0.1", "::1"].includes(server.addr.hostname), server.addr.hostname);
    assertEquals(await (await fetch(`${server.url}hello`)).text(), "hello");
    await server.shutdown();
  });
}
