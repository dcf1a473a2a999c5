/** A client that does not choose HTTP/2, where the server speaks nothing else, is refused and leaves no connection. */
import http2 from "node:http2";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { adopt, serve, type Server } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { listening } from "../support/adopted.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms: longer than a refused client is given to leave. */
const SOON = 3_000;

const servers: Record<string, () => Promise<Server>> = {
  "engine node": () =>
    serve(() => new Response("hello"), {
      ...pem,
      port: 0,
      hostname: "127.0.0.1",
      engine: "node",
      alpnProtocols: ["h2"],
    }),
  "adopted Http2SecureServer": async () => {
    const native = http2.createSecureServer(pem);
    await listening(native);
    return adopt(native);
  },
};

for (const [kind, start] of Object.entries(servers)) {
  test(`[${runtime}, ${kind}] connections() forgets a client without ALPN, which is refused`, async () => {
    const server = await start();
    const clients = await Promise.all([1, 2].map(() => connect(server.addr, { tls: {} })));
    for (const client of clients) client.write(request("/"));
    assertEquals((await deadline(clients[0]!.response(), SOON)).status, 403);
    clients[1]!.vanish();
    const since = performance.now();
    while (server.connections().length > 0 && performance.now() - since < SOON) await delay(10);
    assertEquals(server.connections(), []);
    assertEquals((await server.shutdown({ timeout: SOON })).reason, "drained");
  });
}
