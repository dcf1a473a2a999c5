/** A server touches and lists its own connections alone, although others have the same address. */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import { Worker } from "node:worker_threads";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Addr, adopt, type Engine, type NativeServer, type Server } from "../../mod.ts";
import { bun } from "../../src/runtime/api/bun.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

type Tcp = Addr & { transport: "tcp" };

function tcp(addr: Addr): Tcp {
  assert(addr.transport === "tcp");
  return addr;
}

/** Deno asks for --unstable-net, and its own server cannot be told apart at all. */
const sharing: readonly Engine[] = runtime === "deno" ? [] : engines;

/** What shows its connections, and is not Deno.serve, which does not. */
const showing = engines.filter((engine) => engine !== "deno-serve");

for (const engine of showing) {
  const on = `[${runtime}, ${engine}]`;

  for (const idleGrace of [0, 5_000]) {
    test(`${on} shutdown() leaves a server alone at the port of one that drains, idleGrace ${idleGrace}`, async () => {
      const one = await start(engine);
      const addr = tcp(one.server.addr);
      const waiting = await connect(addr);
      waiting.write(request("/stuck"));
      await one.arrived("/stuck");
      const silent = await connect(addr);
      await one.settled();
      const done = one.server.shutdown({ idleGrace, timeout: 60_000 });
      await isRefused(addr);
      const other = await start(engine, { port: addr.port });
      const theirs = await connect(addr);
      theirs.write(request("/wait"));
      await other.arrived("/wait");
      const theirSilent = await connect(addr);
      await other.settled();
      await until(() => states(one.server).join() === "active /stuck,new");
      await until(() => states(other.server).join() === "active /wait,new");
      await deadline(one.server.close(), SOON);
      assertEquals((await done).reason, "closed");
      await deadline(Promise.all([waiting.closed, silent.closed]), SOON);
      assertEquals(states(other.server), ["active /wait", "new"]);
      theirSilent.write(request("/hello"));
      assertEquals((await deadline(theirSilent.response(), SOON)).body, "hello");
      other.open();
      assertEquals((await deadline(theirs.response(), SOON)).body, "waited");
      assertEquals((await deadline(other.server.shutdown(), SOON)).forced, 0);
    });
  }
}

for (const engine of sharing) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} shutdown() touches its own connections alone beside a server with reusePort`, async () => {
    const one = await start(engine, { reusePort: true });
    const addr = tcp(one.server.addr);
    const other = await start(engine, { reusePort: true, port: addr.port });
    const fixtures = [one, other];
    const clients: [RawClient[], RawClient[]] = [[], []];
    while (clients.some((own) => own.length < 2)) {
      const before = fixtures.map(({ server }) => server.connections().length);
      const client = await connect(addr);
      client.write(request("/wait"));
      await until(() =>
        fixtures.some(({ server }, i) =>
          states(server).filter((state) => state === "active /wait").length > before[i]!
        )
      );
      const which = one.server.connections().length > before[0]! ? 0 : 1;
      clients[which].push(client);
    }
    assertEquals(fixtures.map(({ server }) => states(server).length), clients.map((c) => c.length));
    await deadline(one.server.close(), SOON);
    await Promise.all(clients[0].map((client) => deadline(client.closed, SOON)));
    assertEquals(states(other.server).length, clients[1].length);
    other.open();
    for (const client of clients[1]) {
      assertEquals((await deadline(client.response(), SOON)).body, "waited");
    }
    await deadline(other.server.shutdown(), SOON);
  });

  test(`${on} shutdown() touches its own connections alone beside a worker with reusePort`, async () => {
    const own = await start(engine, { reusePort: true });
    const addr = tcp(own.server.addr);
    const worker = new Worker(new URL("../programs/worker_server.ts", import.meta.url), {
      workerData: { port: addr.port, hostname: addr.hostname, reusePort: true, engine },
    });
    const messages: unknown[] = [];
    worker.on("message", (message) => messages.push(message));
    await until(() => messages.length === 1);
    const clients: [RawClient[], RawClient[]] = [[], []];
    while (clients.some((theirs) => theirs.length < 2)) {
      const [before, heard] = [own.server.connections().length, messages.length];
      const client = await connect(addr);
      client.write(request("/wait"));
      await until(() => own.server.connections().length > before || messages.length > heard);
      clients[messages.length > heard ? 1 : 0].push(client);
    }
    assertEquals(states(own.server).length, clients[0].length);
    await deadline(own.server.close(), SOON);
    await Promise.all(clients[0].map((client) => deadline(client.closed, SOON)));
    worker.postMessage("answer");
    for (const client of clients[1]) {
      assertEquals((await deadline(client.response(), SOON)).body, "of the worker");
    }
    await until(() => messages.at(-1) === "closed");
    await worker.terminate();
  });
}

/** A server of somebody else's, which answers when its gate opens. */
class Native {
  readonly gate: PromiseWithResolvers<void> = Promise.withResolvers();
  requests = 0;

  async answer(): Promise<string> {
    this.requests++;
    await this.gate.promise;
    return "waited";
  }
}

/** How servers of each kind that can be adopted are started at one port. */
const natives: Record<string, (native: Native, port: number) => Promise<NativeServer>> = {};
// On Bun http.Server does not know the option.
if (runtime === "node") {
  natives["http.Server"] = async (native, port) => {
    const server = http.createServer(async (_req, res) => void res.end(await native.answer()));
    server.listen({ port, host: "127.0.0.1", reusePort: true });
    await once(server, "listening");
    return server;
  };
}
if (runtime === "bun") {
  natives["Bun.serve"] = (native, port) => {
    const server = bun().serve({
      port,
      hostname: "127.0.0.1",
      reusePort: true,
      idleTimeout: 0,
      fetch: async () => new Response(await native.answer()),
    });
    // The cast: what is declared of it is what the engine uses.
    return Promise.resolve(server as unknown as NativeServer);
  };
}

for (const [kind, listen] of Object.entries(natives)) {
  test(`[${runtime}, adopted ${kind}] shutdown() touches its own connections alone beside a server with reusePort`, async () => {
    const [one, other] = [new Native(), new Native()];
    const first = await listen(one, 0);
    // Adopted when it is alone, and when it is not.
    const server = adopt(first);
    const addr = tcp(server.addr);
    const second = adopt(await listen(other, addr.port));
    const clients: [RawClient[], RawClient[]] = [[], []];
    while (clients.some((own) => own.length < 2)) {
      const before = one.requests + other.requests;
      const [ones] = [one.requests];
      const client = await connect(addr);
      client.write(request("/"));
      await until(() => one.requests + other.requests > before);
      clients[one.requests > ones ? 0 : 1].push(client);
    }
    assertEquals(states(server).length, clients[0].length);
    await deadline(server.close(), SOON);
    await Promise.all(clients[0].map((client) => deadline(client.closed, SOON)));
    const late = await connect(addr);
    late.write(request("/"));
    await until(() => other.requests > clients[1].length);
    const done = second.shutdown();
    other.gate.resolve();
    for (const client of [...clients[1], late]) {
      assertEquals((await deadline(client.response(), SOON)).body, "waited");
      client.socket.end();
    }
    assertEquals((await deadline(done, SOON)).forced, 0);
  });
}

function states(server: Server): string[] {
  return server.connections().map(({ state, path }) =>
    path === undefined ? state : `${state} ${path}`
  )
    .sort();
}

async function isRefused(addr: Addr): Promise<void> {
  for (;;) {
    try {
      (await connect(addr)).socket.destroy();
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + SOON;
  while (!isSo()) {
    assert(performance.now() < end, "it does not come to that");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
