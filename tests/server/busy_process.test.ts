/** The end of a process whose accept queue is never empty, because its clients connect again for each request. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { type Addr, serve } from "../../mod.ts";
import { freePort } from "../../support/ports.ts";
import { engines, runtime } from "../support/fixture.ts";
import { keepBusy } from "../support/keep_busy.ts";
import { commandOf, Program } from "../support/process.ts";

const file = (name: string) => fileURLToPath(new URL(`../programs/${name}.ts`, import.meta.url));

/** The time in ms for which each request keeps the process busy: longer than a client takes to connect again. */
const BUSY = 2;
/** The same on a machine on which clients have to wait for a processor. */
const VERY_BUSY = 50;
/** The time in ms for which a request keeps the process busy, so that a few requests make a turn too long. */
const LONG = 10;
/** The time in ms for which the process is busy before its end. */
const SERVED = 500;
/** The time in ms after which a process has not heard a signal. */
const UNHEARD = 2_000;

/** Keeps a service busy, and ends it. Returns its exit code, or "runs on" and then ends the clients first. */
async function endOfBusy(kind: string, busy: number): Promise<number | string> {
  const port = `${await freePort()}`;
  const service = [
    ...commandOf(file("kinds_of_service"), ["--allow-all"]),
    "127.0.0.1",
    port,
    kind,
  ];
  const server = start([...service, `${busy}`]);
  await server.says(/serves/);
  const clients = start([...commandOf(file("hasty_clients")), port, "8", "0"]);
  await clients.says(/asking/);
  await sleep(SERVED);
  server.signal("SIGTERM");
  const end = await Promise.race([server.exit, sleep(UNHEARD, "runs on")]);
  clients.signal("SIGTERM");
  await clients.says(/answered: [1-9].*, lost: 0;/);
  assertEquals(await server.exit, 0, server.output);
  return end;
}

function start([program, ...args]: readonly string[]): Program {
  return new Program(spawn(program!, args, { stdio: ["ignore", "pipe", "pipe"] }));
}

const adopted = runtime === "deno" ? ["adopt", "adopt-native"] : ["adopt"];

for (const kind of [...engines, ...adopted]) {
  test(`[${runtime}, ${kind}] graceful() hears a signal although the accept queue is never empty`, async () => {
    assertEquals(await endOfBusy(kind, BUSY), 0);
  });
}

if (runtime === "bun") {
  test("[bun, bun] remoteAddr of a client that has left is known after its request has waited for a turn", async () => {
    const addresses: string[] = [];
    const clients: Socket[] = [];
    const hostname = "127.0.0.1";
    const server = await serve((_request, { remoteAddr }) => {
      keepBusy(LONG);
      if (remoteAddr.transport === "tcp") addresses.push(remoteAddr.hostname);
      // The first turn was too long, and the other requests wait.
      if (addresses.length === 20) {
        for (const client of clients) client.resetAndDestroy();
      }
      return new Response("hello");
    }, { port: 0, hostname, engine: "bun" });
    // The cast: the server listens on TCP.
    const { port } = server.addr as Addr & { transport: "tcp" };
    for (let i = 0; i < 40; i++) {
      const client = connect(port, hostname);
      await once(client, "connect");
      clients.push(client);
    }
    for (const client of clients) client.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    await Promise.all(clients.map((client) => once(client, "close")));
    await server.shutdown();
    assertEquals(addresses, Array(40).fill(hostname));
  });

  test(`[bun, adopt-native] graceful() hears no signal while the accept queue is not empty, an exception`, async () => {
    assertEquals(await endOfBusy("adopt-native", VERY_BUSY), "runs on");
  });
}
