/** The connections that Linux withholds from Bun until their first bytes, for up to a second. */
import { test } from "node:test";
import http from "node:http";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Addr, adopt, type NativeServer, type Server } from "../../mod.ts";
import { bun } from "../../src/runtime/api/bun.ts";
import { KernelSockets, openKernelSockets } from "../../src/runtime/linux/kernel_sockets.ts";
import { NEW_CONN_LIFETIME } from "../../src/server/conn_table.ts";
import { listening } from "../support/adopted.ts";
import { connect, request } from "../../support/client.ts";
import { hasKernelHelp, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;

const starts: Record<string, () => Promise<Server>> = {
  "engine bun": async () => (await start("bun")).server,
  // The cast: the package declares only what it uses of the server.
  "adopted Bun.serve": () =>
    Promise.resolve(
      adopt(
        bun().serve({
          port: 0,
          hostname: "127.0.0.1",
          idleTimeout: 0,
          fetch: () => new Response("hello"),
        }) as unknown as NativeServer,
      ),
    ),
  "adopted http.Server": async () => {
    const native = http.createServer((_req, res) => void res.end("hello"));
    await listening(native);
    return adopt(native);
  },
};

if (runtime === "bun" && hasKernelHelp) {
  for (const [kind, begin] of Object.entries(starts)) {
    for (const wait of [0, 300, 2_000]) {
      test(`[bun, ${kind}] shutdown() serves a withheld connection whose request comes after ${wait} ms`, async () => {
        const server = await begin();
        assertEquals(defersAccept(server.addr), true);
        const client = await connect(server.addr);
        assertEquals(server.connections().map(({ state }) => state), ["new"]);
        const done = server.shutdown({ timeout: SOON });
        await new Promise((resolve) => setTimeout(resolve, wait));
        client.write(request("/hello", "Connection: close"));
        assertEquals((await deadline(client.response(), SOON)).body, "hello");
        await deadline(client.closed, SOON);
        assertEquals((await deadline(done, SOON)).reason, "drained");
      });
    }

    test(`[bun, ${kind}] shutdown() closes a withheld connection that stays silent, at 5 s`, async () => {
      const server = await begin();
      const opened = performance.now();
      const client = await connect(server.addr);
      await deadline(server.shutdown({ timeout: SOON }), SOON);
      await deadline(client.closed, SOON);
      const age = performance.now() - opened;
      assert(age > NEW_CONN_LIFETIME - 10, `closed after ${age} ms`);
    });

    test(`[bun, ${kind}] shutdown() does not wait if no connection is withheld`, async () => {
      const server = await begin();
      const { duration } = await deadline(server.shutdown(), SOON);
      assert(duration < 500, `it took ${duration} ms`);
    });

    test(`[bun, ${kind}] close() does not wait for a withheld connection`, async () => {
      const server = await begin();
      const client = await connect(server.addr);
      const done = server.shutdown();
      const closing = performance.now();
      await deadline(server.close(), SOON);
      await deadline(done, SOON);
      assert(performance.now() - closing < 500);
      client.vanish();
    });
  }

  test("[bun] serve() has the kernel withhold no connection that it would not show", async () => {
    const { handshakesAt } = KernelSockets.prototype;
    KernelSockets.prototype.handshakesAt = () => undefined;
    try {
      const { server } = await start("bun");
      assertEquals(defersAccept(server.addr), false);
      await server.close();
    } finally {
      KernelSockets.prototype.handshakesAt = handshakesAt;
    }
  });

  test("[bun] serve() has the kernel withhold no connection on a listener that a successor may get", async () => {
    const { server } = await start("bun", { handoff: "inherit" });
    assertEquals(defersAccept(server.addr), false);
    await server.close();
  });
} else {
  test(`[${runtime}] the kernel withholds no connection here`, () => {});
}

function defersAccept(addr: Addr): boolean {
  const kernel = openKernelSockets()!;
  return kernel.listeningAt(addr).some((fd) => kernel.defersAccept(fd));
}
