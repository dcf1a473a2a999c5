/** A server of node:http that Deno has listen at a second address, whose sockets lack some methods. */
import { test } from "node:test";
import net from "node:net";
import { once } from "node:events";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { connect, RawClient, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 20_000;

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  // The cast: a server of TCP has a port.
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("[deno] graceful() drains a node:http server with DENO_SERVE_ADDRESS=duplicate", {
  skip: runtime !== "deno",
}, async () => {
  const addr = { transport: "tcp", hostname: "127.0.0.1", port: await freePort() } as const;
  const program = run("duplicated.ts", [], ["--allow-all"], {
    DENO_SERVE_ADDRESS: `duplicate,tcp:127.0.0.1:${addr.port}`,
  });
  await deadline(program.says(/^ready$/m), SOON);
  // Deno ends its side of such a connection, and would wait for the client to end the other.
  const client = new RawClient(net.connect({ port: addr.port, allowHalfOpen: true }));
  client.write(request("/wait"));
  await deadline(program.says(/^waiting$/m), SOON);
  const idle = await connect(addr);
  idle.write(request("/hello"));
  await deadline(idle.response(), SOON);
  program.signal("SIGTERM");
  assertEquals((await deadline(client.response(), SOON)).body, "waited");
  assertEquals(await deadline(program.exit, SOON), 0);
  assertEquals([/^cleaned up$/m, /Error/].map((text) => text.test(program.output)), [true, false]);
  client.socket.destroy();
  await deadline(idle.closed, SOON);
  await assertRejects(() => connect(addr), Error);
});
