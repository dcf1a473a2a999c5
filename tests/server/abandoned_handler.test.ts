/** A handler whose client has left is in flight until it settles. */
import { after, test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, serve, type ServeOptions, type Server } from "../../mod.ts";
import { connect, request } from "../support/client.ts";
import { engines, pem, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 4_000;
/** A poll that never comes: the drain ends by what happens alone. */
const unpolled = { pollInterval: 3_600_000 } as const;

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

/** How a client leaves. */
interface Departure {
  readonly options: ServeOptions;
  readonly isReset: boolean;
}

const departures: Record<string, Departure> = {
  "has ended its connection": { options: {}, isReset: false },
  "has reset its connection": { options: {}, isReset: true },
  "has ended its connection with TLS": { options: pem, isReset: false },
};

/** A server whose handler waits for a gate, and a client of it that has left meanwhile. */
async function abandoned(
  engine: Engine,
  { options, isReset }: Departure,
): Promise<{ server: Server; settle: () => void; hasSettled: () => boolean }> {
  const arrival = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  let settled = false;
  const server = await serve(async (req) => {
    req.signal.addEventListener("abort", () => left.resolve());
    arrival.resolve();
    await gate.promise;
    settled = true;
    return new Response("too late");
  }, { engine, port: 0, hostname: "127.0.0.1", ...options });
  open.add(server);
  const client = await connect(server.addr, "cert" in options ? { alpn: "http/1.1" } : {});
  client.write(request("/work?now"));
  await deadline(arrival.promise, SOON);
  if (isReset) client.vanish();
  else client.socket.destroy();
  await deadline(left.promise, SOON);
  // What was told by now may still be on its way to the table.
  await new Promise((resolve) => setTimeout(resolve, 10));
  return { server, settle: gate.resolve, hasSettled: () => settled };
}

for (const engine of engines) {
  for (const [what, departure] of Object.entries(departures)) {
    test(`${engine} on ${runtime}: shutdown() waits for a handler whose client ${what}`, async () => {
      const { server, settle, hasSettled } = await abandoned(engine, departure);
      const drained = server.shutdown({ timeout: SOON, ...unpolled });
      let isOver = false;
      drained.then(() => isOver = true, () => {});
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals(isOver, false);
      assertEquals(server.connections().map(({ state, method, path }) => [state, method, path]), [
        ["active", "GET", "/work"],
      ]);
      settle();
      assertEquals((await deadline(drained, SOON)).reason, "drained");
      assertEquals([hasSettled(), server.connections().length], [true, 0]);
    });

    test(`${engine} on ${runtime}: close() does not wait for a handler whose client ${what}`, async () => {
      const { server, settle } = await abandoned(engine, departure);
      await deadline(server.close(), SOON);
      assertEquals(server.connections(), []);
      settle();
    });
  }
}
