/** Where a server listens is known after its end, to those too who ask for the first time then. */
import { test } from "node:test";
import http from "node:http";
import type net from "node:net";
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Addr, adopt, graceful, serve, type ServeOptions, serveTcp } from "../../mod.ts";
import { engines, runtime, temporaryFolder } from "../support/fixture.ts";

const local = { port: 0, hostname: "127.0.0.1" } as const;

function assertLocal(addr: Addr): void {
  assert(addr.transport === "tcp" && addr.hostname === "127.0.0.1" && addr.port > 0, `${addr}`);
}

for (const engine of engines) {
  for (const end of ["shutdown", "close"] as const) {
    test(`[${runtime}, ${engine}] addr can be read first after ${end}`, async () => {
      const path = join(temporaryFolder(), "socket");
      const ways: ServeOptions[] = [local, { ...local, handoff: "auto" }, { path }];
      for (const way of ways) {
        const server = await serve(() => new Response(), { ...way, engine });
        await server[end]();
        if (way.path === undefined) assertLocal(server.addr);
        else assertEquals(server.addr, { transport: "unix", path });
        assert(server.url.length > 0);
      }
    });
  }
}

test(`[${runtime}] addr of serveTcp() can be read first after its end`, async () => {
  const server = await serveTcp(() => {}, local);
  await server.shutdown();
  assertLocal(server.addr);
});

for (const order of ["before", "after"] as const) {
  test(`[${runtime}] addr of a server adopted ${order} it listens outlives a close by its owner`, async () => {
    const native = http.createServer();
    const listen = () => new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
    if (order === "after") await listen();
    const server = adopt(native);
    if (order === "before") await listen();
    // The cast: one that listens on TCP has an AddressInfo.
    const { port } = native.address() as net.AddressInfo;
    native.close();
    await server.finished;
    assertEquals(server.addr, { transport: "tcp", hostname: "127.0.0.1", port });
  });
}

test(`[${runtime}] addr throws for a server that has never listened`, async () => {
  const message = "Cannot tell where the server listens: it has not listened yet";
  const server = adopt(http.createServer());
  const reads: (() => unknown)[] = [
    () => server.addr,
    () => server.url,
    () => graceful(server, { upgradeOn: "SIGHUP", exit: false }),
  ];
  for (const read of reads) await assertRejects(() => Promise.resolve().then(read), Error, message);
  const { cause } = await graceful(server, {
    signal: AbortSignal.abort("the test"),
    exit: false,
    log: false,
  });
  assertEquals(cause, "aborted");
});
