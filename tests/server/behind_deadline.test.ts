/** A drain behind the deadline of `shutdown()`. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 4_000;

for (const engine of engines) {
  // Deno.serve closes idle connections whatever idleGrace says: pinned in shutdown.test.ts.
  if (engine === "deno-serve") continue;

  test(`[${runtime}, ${engine}] shutdown() goes on behind its deadline, without idleGrace`, async () => {
    const { server } = await start(engine);
    const idle = await connect(server.addr);
    idle.write(request("/hello"));
    await deadline(idle.response(), SOON);
    await assertRejects(
      () => server.shutdown({ timeout: 100, idleGrace: 50_000 }),
      ShutdownIncompleteError,
    );
    await deadline(server.finished, SOON);
    await deadline(idle.closed, SOON);
    assertEquals(server.state, "closed");
  });
}

if (runtime === "node") {
  test("[node, node] shutdown() closes hundreds of idle connections with a deadline of 0", async () => {
    const { server } = await start("node");
    const clients = await Promise.all(Array.from({ length: 300 }, () => connect(server.addr)));
    for (const client of clients) client.write(request("/hello"));
    await Promise.all(clients.map((client) => client.response()));
    const { reason, idle } = await server.shutdown({ timeout: 0 });
    assertEquals([reason, idle], ["drained", 300]);
    for (const client of clients) await deadline(client.closed, SOON);
  });
}
