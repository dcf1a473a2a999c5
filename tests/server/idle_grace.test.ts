/** Clients that keep their connections, at an end with the defaults of `graceful`. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { Ending, SOON } from "../support/ending.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";

const CLIENTS = 16;

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;
  // The exception: `Deno.serve` closes its idle connections with its listener.
  if (engine === "deno-serve") continue;

  test(`${on} graceful() serves an idle connection once more after the listener has closed by default`, async () => {
    const ending = await Ending.start({ servers: [engine], hasDefaultGrace: true });
    const idle = await ending.request("/");
    assert((await idle.response()).headers["connection"]?.toLowerCase() !== "close");
    ending.program.signal("SIGTERM");
    await ending.event("draining");
    await refused(ending.addrs[0]!);
    idle.write(request("/"));
    const last = await deadline(idle.response(), SOON);
    assertEquals([last.body, last.headers["connection"]?.toLowerCase()], ["hello", "close"]);
    await deadline(idle.closed, SOON);
    assertEquals(await ending.exit(), 0);
  });

  test(`${on} graceful() loses no request of ${CLIENTS} clients that keep their connections`, async () => {
    const ending = await Ending.start({ servers: [engine], hasDefaultGrace: true });
    const clients = Array.from({ length: CLIENTS }, () => posting(ending.addrs[0]!));
    await new Promise((resolve) => setTimeout(resolve, 200));
    ending.program.signal("SIGTERM");
    assertEquals(await deadline(Promise.all(clients), SOON), Array(CLIENTS).fill("refused"));
    assertEquals(await ending.exit(), 0);
  });
}

test(`[${runtime}, node] serve() keeps an idle connection for longer than the 60 s of a load balancer`, async () => {
  for (const options of [{}, pem]) {
    const { server } = await start("node", options);
    const client = await connect(server.addr, "cert" in options ? { alpn: "http/1.1" } : {});
    client.write(request("/hello"));
    const { headers } = await client.response();
    // Without it the runtime does not close one at all.
    if (headers["keep-alive"] !== undefined) assertEquals(headers["keep-alive"], "timeout=65");
    await server.close();
    await deadline(client.closed, SOON);
  }
});

/** Resolves when nothing listens at the address any more. */
async function refused(addr: Addr): Promise<void> {
  for (;;) {
    try {
      (await connect(addr)).vanish();
    } catch {
      return;
    }
  }
}

/** Posts all the time, on a connection for as long as it lasts. Resolves with how that ended. */
async function posting(addr: Addr): Promise<"refused"> {
  for (;;) {
    let client;
    try {
      client = await connect(addr);
    } catch (error) {
      // The cast: errors of connections have a code. Others are for the test to fail by.
      if ((error as { code?: string }).code === "ECONNREFUSED") return "refused";
      throw error;
    }
    for (let isLast = false; !isLast;) {
      client.write(`${request("POST /", "Content-Length: 5")}12345`);
      const { headers } = await client.response();
      isLast = headers["connection"]?.toLowerCase() === "close";
    }
    client.vanish();
  }
}
