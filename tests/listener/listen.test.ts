/** Listeners that travel: what listen() opens, takes over and refuses, and who may accept on it. */
import { test } from "node:test";
import { existsSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import {
  graceful,
  listen,
  type Listener,
  type ListenOptions,
  serve,
  UpgradeError,
} from "../../mod.ts";
import { openListeners } from "../../src/listener/shared_listener.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, temporaryFolder } from "../support/fixture.ts";
import { SOON } from "../support/generations.ts";

const local = { port: 0, hostname: "127.0.0.1" } as const;

async function answer(listener: Pick<Listener, "addr">): Promise<string> {
  const client = await connect(listener.addr);
  client.write(request("/", "Connection: close"));
  return (await deadline(client.response(), SOON)).body;
}

for (const engine of engines) {
  for (
    const [what, options] of Object.entries({ IPv4: local, IPv6: { port: 0, hostname: "::1" } })
  ) {
    test(`[${runtime}, ${engine}] serve() accepts on a listener, ${what}`, async () => {
      const listener = await listen({ ...options, backlog: 16 });
      assert(!listener.inherited && listener.addr.transport === "tcp" && listener.addr.port > 0);
      const server = await serve(() => new Response("hello"), { listener, engine });
      assertEquals(server.addr, listener.addr);
      assertEquals([server.engine, server.handoff], [engine, "inherit"]);
      assertEquals(await answer(server), "hello");
      await server.shutdown();
      await assertRejects(() => connect(listener.addr), Error, "ECONNREFUSED");
      listener.close();
    });
  }

  test(`[${runtime}, ${engine}] serve() accepts on a listener at a unix socket, whose file goes with it`, async () => {
    const path = join(temporaryFolder(), "socket");
    const server = await serve(() => new Response("hello"), { path, engine, handoff: "inherit" });
    assertEquals(server.addr, { transport: "unix", path });
    assertEquals(await answer(server), "hello");
    await assertRejects(() => listen({ path }), Error, "a file is at that path");
    await server.shutdown();
    assert(!existsSync(path));
  });
}

test(`[${runtime}] listen() returns a listener that closes unused, and its file goes with it`, async () => {
  const path = join(temporaryFolder(), "socket");
  for (const options of [local, { path }]) {
    const listener = await listen(options);
    listener.close();
    listener.close();
    await assertRejects(() => connect(listener.addr), Error, "connect E");
  }
  assert(!existsSync(path));
});

test(`[${runtime}] serve() refuses a listener that a server has`, async () => {
  const listener = await listen(local);
  const server = await serve(() => new Response("hello"), { listener });
  const message = "'listener' must be a listener of listen() that no server uses";
  await assertRejects(() => serve(() => new Response(), { listener }), TypeError, message);
  await assertRejects(
    () => serve(() => new Response(), { listener: {} as Listener }),
    TypeError,
    message,
  );
  await server.close();
});

test(`[${runtime}] listen() opens two sockets of one port with reusePort`, async () => {
  const first = await serve(() => new Response("first"), { ...local, handoff: "auto" });
  const { port } = first.addr as { port: number };
  await assertRejects(() => listen({ ...local, port }), Error, "the address is already in use");
  assertEquals(await answer(first), "first");
  await first.close();
});

test(`[${runtime}] listen() refuses what makes no sense`, async () => {
  const refused: [ListenOptions, string][] = [
    [
      { port: 65_536 },
      "Cannot listen as 'port' must be an integer from 0 to 65535: current value is 65536",
    ],
    [{ path: "" }, "Cannot listen as 'path' must be a string that is not empty"],
    [{ path: "/a", port: 1 }, "Cannot listen as 'port' must be absent where 'path' is given"],
    [{ fd: -1 }, "Cannot listen as 'fd' must be an integer from 0"],
    [{ fd: 3, port: 1 }, "Cannot listen as 'port' must be absent where 'fd' is given"],
    [{ fd: 0 }, "Cannot listen as 'fd' must be the descriptor of a socket that listens"],
  ];
  for (const [options, message] of refused) {
    await assertRejects(() => listen(options), Error, message);
  }
  for (
    const [options, message] of [
      [{ handoff: "fork" }, "Cannot serve as 'handoff' must be one of auto, inherit, reuseport"],
      [{ handoff: "reuseport", reusePort: false }, "Cannot serve as 'reusePort' must be true or"],
    ] as const
  ) {
    await assertRejects(() => serve(() => new Response(), options as never), TypeError, message);
  }
});

test(`[${runtime}] graceful() refuses upgradeOn for a server that cannot be handed over`, async () => {
  const server = await serve(() => new Response(), local);
  assertEquals(server.handoff, undefined);
  await assertRejects(
    () => graceful(server, { upgradeOn: "SIGHUP" }),
    UpgradeError,
    "was not started with `handoff`",
  );
  for (
    const [upgradeOn, message] of [["SIGNONE", "signals that a process can"], [
      "SIGTERM",
      "a signal that is not in 'signals'",
    ]]
  ) {
    await assertRejects(() => graceful(server, { upgradeOn }), TypeError, message);
  }
  await server.close();
});

if (runtime !== "bun") {
  test(`[${runtime}] listen() has a descriptor that a server of node:http listens on`, async () => {
    const listener = await listen(local);
    const server = http.createServer((_request, response) => response.end("hello"));
    await new Promise<void>((resolve) => server.listen({ fd: listener.fd }, resolve));
    assertEquals(await answer(listener), "hello");
    await new Promise((resolve) => server.close(resolve));
    await assertRejects(() => connect(listener.addr), Error, "ECONNREFUSED");
    const left = openListeners().map(({ addr }) => JSON.stringify(addr));
    assert(!left.includes(JSON.stringify(listener.addr)), "there is nothing to hand over");
    listener.close();
  });
} else {
  test("[bun] listen() has a descriptor for node:net alone, for Bun ignores it in node:http", async () => {
    const listener = await listen(local);
    const server = http.createServer((_request, response) => response.end("hello"));
    await new Promise<void>((resolve) => server.listen({ fd: listener.fd } as never, resolve));
    assert((server.address() as net.AddressInfo).port !== (listener.addr as { port: number }).port);
    server.close();
    const front = net.createServer((socket) => server.emit("connection", socket));
    await new Promise<void>((resolve) => front.listen({ fd: listener.fd }, resolve));
    assertEquals(await answer(listener), "hello");
    front.close();
    await assertRejects(() => connect(listener.addr), Error, "ECONNREFUSED");
    listener.close();
  });
}
