/**
 * A handler whose client has left is in flight until it settles: a drain waits for it and names it, and a
 * close does not wait.
 */
import { test } from "node:test";
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, type ServeOptions, ShutdownIncompleteError } from "../../mod.ts";
import { connect, type ConnectOptions, request } from "../../support/client.ts";
import { engines, type Fixture, pem, runtime, start, temporaryFolder } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;
/** A poll that never comes: the drain ends by what happens alone. */
const unpolled = { pollInterval: 3_600_000 } as const;

/** Where a server listens, and how clients connect to it. */
const places: Record<string, { options: () => ServeOptions; how: ConnectOptions }> = {
  "TCP": { options: () => ({}), how: {} },
  "TLS": { options: () => pem, how: { alpn: "http/1.1" } },
  "unix": { options: () => ({ path: join(temporaryFolder(), "socket") }), how: {} },
};

const headers = ["Content-Length: 10"];
/** What a client sends before it leaves. */
const requests: Record<string, (path: string) => string> = {
  "a request": (path) => request(path),
  "half an upload": (path) => request(`POST ${path}`, ...headers) + "12345",
};

/** A way to start, to send and to leave. */
interface Departure {
  readonly engine: Engine;
  readonly place: string;
  readonly sent: string;
  readonly how: "reset" | "end";
}

/** Node cannot reset a connection of a unix socket. */
const departures: Departure[] = engines.flatMap((engine) =>
  Object.keys(places).flatMap((place) =>
    Object.keys(requests).flatMap((sent) =>
      (["reset", "end"] as const).map((how) => ({ engine, place, sent, how }))
    )
  )
).filter(({ place, how }) => runtime !== "node" || place !== "unix" || how !== "reset");

/** A server with a handler that waits, and whose client has gone meanwhile. */
async function abandoned({ engine, place, sent, how }: Departure, path: string): Promise<Fixture> {
  const fixture = await start(engine, places[place]!.options());
  const client = await connect(fixture.server.addr, places[place]!.how);
  client.write(requests[sent]!(`${path}?now`));
  await deadline(fixture.arrived(path), SOON);
  if (how === "reset") client.vanish();
  else client.socket.destroy();
  await client.closed;
  await fixture.settled();
  return fixture;
}

/** Whether a promise is still pending after everything that was to happen at once. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let isOver = false;
  promise.then(() => isOver = true, () => isOver = true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return !isOver;
}

for (const departure of departures) {
  const { engine, place, sent, how } = departure;
  const on = `[${runtime}, ${engine}, ${place}]`;
  const left = `client has left after ${sent} (${how})`;
  const method = sent === "a request" ? "GET" : "POST";

  for (const idleGrace of sent === "a request" ? [0, 30_000] : [0]) {
    test(`${on} shutdown() waits for a handler whose ${left}, idleGrace ${idleGrace}`, async () => {
      const fixture = await abandoned(departure, "/wait");
      const { server } = fixture;
      const error = await assertRejects(
        () => server.shutdown({ timeout: 50, idleGrace }),
        ShutdownIncompleteError,
      );
      const open = [["active", method, "/wait"]];
      assertEquals(
        error.report.connections.map(({ state, method, path }) => [state, method, path]),
        open,
      );
      const drained = server.shutdown({ ...unpolled, idleGrace });
      assert(await isPending(drained));
      assertEquals(server.state, "draining");
      assertEquals(
        server.connections().map(({ state, method, path }) => [state, method, path]),
        open,
      );
      fixture.open();
      const report = await deadline(drained, SOON);
      assertEquals([report.reason, report.connections], ["drained", []]);
      assertEquals(server.connections(), []);
    });
  }

  test(`${on} close() does not wait for a handler whose ${left}`, async () => {
    const { server } = await abandoned(departure, "/stuck");
    await deadline(server.close(), SOON);
    assertEquals(server.connections(), []);
  });

  test(`${on} close() ends a shutdown() that waits for a handler whose ${left}`, async () => {
    const { server } = await abandoned(departure, "/stuck");
    const done = server.shutdown(unpolled);
    await deadline(server.close(), SOON);
    assertEquals((await deadline(done, SOON)).reason, "closed");
  });
}

for (const engine of engines) {
  for (const how of ["reset", "end"] as const) {
    for (const place of ["TCP", "TLS"]) {
      const on = `[${runtime}, ${engine}, ${place}]`;

      test(`${on} shutdown() that never polls ends with a handler whose client has left (${how})`, async () => {
        const fixture = await abandoned({ engine, place, sent: "a request", how }, "/wait");
        // The handler is told, too.
        while (fixture.aborted.length === 0) await new Promise((r) => setTimeout(r, 1));
        const drained = fixture.server.shutdown({ timeout: SOON, ...unpolled });
        assert(await isPending(drained));
        fixture.open();
        assertEquals((await deadline(drained, SOON)).reason, "drained");
      });
    }
  }
}
