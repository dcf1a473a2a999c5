/** Servers with one handler, at one port of two addresses: as for `localhost`. */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type Server } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { Gate } from "../support/adopted.ts";
import { engines, runtime, start } from "../support/fixture.ts";
import { secondLoopback } from "../support/loopback.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

interface Pair {
  servers: [Server, Server];
  /** Lets the requests for /wait be answered. */
  open(): void;
}

async function listenOn(hostname: string, port: number, gate: Gate): Promise<http.Server> {
  const native = http.createServer((req, res) =>
    void gate.answer(req.url).then((body) => res.end(body))
  );
  native.listen(port, hostname);
  await once(native, "listening");
  return native;
}

const kinds: Record<string, () => Promise<Pair>> = {
  "adopted node:http": async () => {
    const gate = new Gate();
    const first = adopt(await listenOn("127.0.0.1", 0, gate));
    const second = adopt(await listenOn(secondLoopback, portOf(first), gate));
    return { servers: [first, second], open: () => gate.open() };
  },
};
for (const engine of engines) {
  kinds[engine] = async () => {
    const first = await start(engine);
    const second = await start(engine, { hostname: secondLoopback, port: portOf(first.server) });
    const open = () => {
      first.open();
      second.open();
    };
    return { servers: [first.server, second.server], open };
  };
}

function portOf({ addr }: Server): number {
  return (addr as { port: number }).port;
}

/** A connection of the server whose request is in flight. */
async function inFlight(server: Server): Promise<RawClient> {
  const client = await connect(server.addr);
  client.write(request("/wait"));
  while (server.connections().every(({ path }) => path !== "/wait")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return client;
}

for (const [kind, make] of Object.entries(kinds)) {
  const on = `[${runtime}, ${kind}]`;

  test(`${on} shutdown() of two servers at one port of two addresses drains each`, async () => {
    const { servers, open } = await make();
    const clients = await Promise.all(servers.map((server) => inFlight(server)));
    const reports = Promise.all(servers.map((server) => server.shutdown()));
    open();
    for (const client of clients) {
      const { body, headers } = await deadline(client.response(), SOON);
      assertEquals([body, headers["connection"]?.toLowerCase()], ["waited", "close"]);
      await deadline(client.closed, SOON);
    }
    for (const { reason, drained, forced } of await deadline(reports, SOON)) {
      assertEquals({ reason, drained, forced }, { reason: "drained", drained: 1, forced: 0 });
    }
  });

  test(`${on} close() of a server leaves alone the one at the same port of another address`, async () => {
    const { servers: [first, second], open } = await make();
    const [cut, kept] = [await inFlight(first), await inFlight(second)];
    await deadline(first.close(), SOON);
    await deadline(cut.closed, SOON);
    open();
    assertEquals((await deadline(kept.response(), SOON)).body, "waited");
    await deadline(second.shutdown(), SOON);
  });
}
