/** Go's rule for connections on which nothing comes, for adopted servers: on TCP, unix sockets and TLS. */
import { test } from "node:test";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { NEW_CONN_LIFETIME } from "../../src/server/conn_table.ts";
import { driverOf, type NativeServer } from "../../src/runtime/native_servers.ts";
import { bun } from "../../src/runtime/api/bun.ts";
import { connect, request } from "../../support/client.ts";
import { until } from "../../support/until.ts";
import { pem, runtime, temporaryFolder } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

const policy = { spareIdle: false, ignoreHijacked: false, onlyChanged: false, atOnce: true };

const path = join(temporaryFolder(), "socket");

type Start = () => Promise<NativeServer> | NativeServer;

const natives: Record<string, Start> = {
  "http.Server": () => listening(http.createServer((_req, res) => void res.end("hello")), {}),
  "http.Server, unix": () =>
    listening(http.createServer((_req, res) => void res.end("hello")), { path }),
  "https.Server": () =>
    listening(https.createServer(pem, (_req, res) => void res.end("hello")), {}),
};
if (runtime === "bun") {
  for (
    const [kind, options] of Object.entries({
      "Bun.serve": { port: 0, hostname: "127.0.0.1" },
      "Bun.serve, unix": { unix: path },
      "Bun.serve, TLS": { port: 0, hostname: "127.0.0.1", tls: pem },
    })
  ) {
    const serve = () =>
      bun().serve({ ...options, idleTimeout: 0, fetch: () => new Response("hello") });
    // The cast: what is declared of it is what the engine uses.
    natives[kind] = serve as unknown as Start;
  }
}

for (const [kind, start] of Object.entries(natives)) {
  const isTls = kind.includes("https") || kind.includes("TLS");

  test(`[${runtime}, adopted ${kind}] shutdown() closes a silent connection once it is 5 s old`, async () => {
    const { driver } = driverOf(await start(), undefined);
    const silent = await connect(driver.addr, isTls ? { alpn: "http/1.1" } : {});
    const last = await connect(driver.addr, isTls ? { alpn: "http/1.1" } : {});
    last.write(request("/", "Connection: close"));
    assertEquals((await deadline(last.response(), SOON)).body, "hello");
    last.socket.end();
    await last.closed;
    const changed = Promise.withResolvers<void>();
    driver.startDrain(changed.resolve);
    await driver.closeListeners(false);
    driver.endConnections?.();
    const now = performance.now();
    assertEquals(driver.closeIdleConns(now, policy), false);
    assertEquals(driver.closeIdleConns(now + NEW_CONN_LIFETIME - 1_000, policy), false);
    assertEquals(silent.isOver, false);
    // The kernel, which Bun's driver asks, counts in steps of some milliseconds, and withholds the connection from
    // Bun for up to a second.
    await until(() => "the silent connection is open", () => {
      driver.closeIdleConns(now + NEW_CONN_LIFETIME + 100, policy);
      return silent.isOver || undefined;
    });
    await deadline(silent.closed, SOON);
    await deadline(changed.promise, SOON);
    await driver.closeAll();
  });
}

async function listening(server: http.Server, where: { path?: string }): Promise<NativeServer> {
  server.listen(where.path === undefined ? { port: 0, host: "127.0.0.1" } : where);
  await once(server, "listening");
  return server;
}
