/** A drain ends with its last connection, also while it spares the idle ones. */
import { test } from "node:test";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { type ServeOptions, ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start, temporaryFolder } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** So long that nothing is found by a poll. */
const pollInterval = 60_000;

const places: Record<string, ServeOptions> = {
  tcp: {},
  unix: { path: join(temporaryFolder(), "socket") },
};

for (const engine of engines) {
  // Deno.serve closes idle connections whatever idleGrace says: pinned in shutdown.test.ts.
  if (engine === "deno-serve") continue;

  for (const [where, options] of Object.entries(places)) {
    const on = `[${runtime}, ${engine}, ${where}]`;

    test(`${on} shutdown() is woken by the end of an idle connection that it spares`, async () => {
      const fixture = await start(engine, options);
      const idle = await connect(fixture.server.addr);
      idle.write(request("/hello"));
      await idle.response();
      await fixture.settled();
      const done = fixture.server.shutdown({ pollInterval, idleGrace: 50_000 });
      await delay(30);
      assertEquals([fixture.server.state, idle.isOver], ["draining", false]);
      idle.socket.end();
      assertEquals((await deadline(done, SOON)).connections, []);
    });

    test(`${on} shutdown() does not fail at a deadline with nothing open`, async () => {
      for (let round = 0; round < 20; round++) {
        const timeout = 25;
        const fixture = await start(engine, options);
        const client = await connect(fixture.server.addr);
        client.write(request("/hello"));
        await client.response();
        const end = fixture.server.shutdown({ timeout, pollInterval, idleGrace: 50_000 })
          .catch((error) => error);
        await delay(timeout - 5 + round / 2);
        client.socket.end();
        const error = await deadline(end, SOON);
        if (error instanceof Error) {
          assert(error instanceof ShutdownIncompleteError, String(error));
          assert(error.report.connections.length > 0, "nothing is open");
        }
        await fixture.server.close();
      }
    });
  }
}
