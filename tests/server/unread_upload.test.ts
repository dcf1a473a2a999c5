/** An upload that was answered unread before the drain holds it for no longer than Go's half a second. */
import { test } from "node:test";
import http from "node:http";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type Server } from "../../mod.ts";
import { listening } from "../support/adopted.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** In ms: the half second, and what it takes to find it over. */
const AT_MOST = 2_500;

const starts: Record<string, () => Promise<Server>> = {
  "adopted http.Server": async () => {
    const native = http.createServer((_req, res) => {
      res.writeHead(413, { "Content-Length": "8" });
      res.end("too much");
    });
    await listening(native);
    return adopt(native);
  },
};
for (const engine of engines) {
  // Deno's own server waits for the upload on its own terms.
  if (engine === "deno-serve" || engine === "deno") continue;
  starts[`engine ${engine}`] = async () => {
    const fixture = await start(engine);
    fixture.open();
    return fixture.server;
  };
}

for (const [kind, begin] of Object.entries(starts)) {
  for (const what of ["goes on", "stops", "leaves"]) {
    test(`[${runtime}, ${kind}] shutdown() waits half a second at most for an unread upload whose client ${what}`, async () => {
      const server = await begin();
      const client = await connect(server.addr);
      const upload = request("POST /ignore-upload", "Content-Length: 100000000");
      client.write(upload + "x".repeat(600_000));
      assertEquals((await deadline(client.response(), SOON)).status, 413);
      const sending = what === "goes on"
        ? setInterval(() => client.write("x".repeat(1_000)), 10)
        : undefined;
      if (what === "stops") client.write("x".repeat(600_000));
      if (what === "leaves") client.vanish();
      const report = await deadline(server.shutdown({ timeout: SOON }), SOON)
        .finally(() => {
          clearInterval(sending);
          client.vanish();
        });
      assert(report.duration < AT_MOST, `it took ${report.duration} ms`);
      assertEquals(report.connections, []);
      await deadline(client.closed, SOON);
      await server.close();
    });
  }
}
