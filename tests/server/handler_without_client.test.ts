/** A drain waits for a handler whose client has left; a close does not. */
import { test } from "node:test";
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, type ServeOptions, ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../support/client.ts";
import { engines, type Fixture, runtime, start, temporaryFolder } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** So long that nothing is found by a poll. */
const pollInterval = 60_000;

for (const engine of engines) {
  if (engine !== "bun") continue;

  for (const [where, options] of Object.entries(places())) {
    const on = `${runtime}, engine ${engine}, ${where}`;

    for (const idleGrace of [0, 30_000]) {
      test(`${on}: is waited for, idleGrace ${idleGrace}`, async () => {
        const fixture = await leaving(engine, "/wait", options);
        const { server } = fixture;
        const error = await assertRejects(
          () => server.shutdown({ timeout: 50, idleGrace }),
          ShutdownIncompleteError,
        );
        assertEquals(
          error.report.connections.map(({ state, method, path }) => [state, method, path]),
          [["active", "GET", "/wait"]],
        );
        const done = server.shutdown({ pollInterval, idleGrace });
        await new Promise((resolve) => setTimeout(resolve, 20));
        assertEquals(server.state, "draining");
        fixture.open();
        assertEquals((await deadline(done, SOON)).connections, []);
      });
    }

    test(`${on}: is not waited for by close()`, async () => {
      const fixture = await leaving(engine, "/stuck", options);
      const done = fixture.server.shutdown({ pollInterval });
      await deadline(fixture.server.close(), SOON);
      assertEquals((await deadline(done, SOON)).reason, "closed");
    });
  }
}

/** A server with a request whose client has gone. */
async function leaving(engine: Engine, path: string, options: ServeOptions): Promise<Fixture> {
  const fixture = await start(engine, options);
  const client = await connect(fixture.server.addr);
  client.write(request(path));
  await fixture.arrived(path);
  client.vanish();
  await fixture.settled();
  return fixture;
}

function places(): Record<string, ServeOptions> {
  return { tcp: {}, unix: { path: join(temporaryFolder(), "socket") } };
}
