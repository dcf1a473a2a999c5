/** Workers of `node:cluster` that lose their primary. */
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 10_000;

// In a worker of Deno's no port can be shared but by the servers of Node's modules.
const kinds = runtime === "deno" ? ["adopt"] : ["serve", "adopt"];

/** The number of times that a race is tried. */
const ROUNDS = 8;

for (const kind of kinds) {
  test(`[${runtime}] graceful() takes a SIGTERM to the whole process group of a cluster for one end: ${kind}()`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const primary = run("cluster.ts", ["ends", kind]);
      const worker = Number(await primary.says(/^starts: (\d+)/m));
      const client = await connect(JSON.parse(await primary.says(/addr: (.*);/)));
      client.write(request("/"));
      await deadline(primary.says(/arrived;/), SOON);
      primary.signal("SIGTERM");
      // The worker may learn of the end of its primary before or after its own signal.
      await delay(round);
      process.kill(worker, "SIGTERM");
      await deadline(primary.says(/: draining/), SOON);
      process.kill(worker, "SIGUSR2");
      assertEquals((await deadline(client.response(), SOON)).body, "answered");
      await deadline(primary.says(/cleaned up;/), SOON);
      await deadline(primary.exit, SOON);
    }
  });

  test(`[${runtime}] graceful() leaves a cluster worker of ${kind}() its idle and new connections when its primary disconnects`, async () => {
    const primary = run("cluster.ts", ["disconnects", kind]);
    const worker = Number(await primary.says(/^starts: (\d+)/m));
    const addr = JSON.parse(await primary.says(/addr: (.*);/));
    const [busy, idle, fresh] = [await connect(addr), await connect(addr), await connect(addr)];
    busy.write(request("/"));
    idle.write(request("/quick"));
    await deadline(idle.response(), SOON);
    await deadline(primary.says(/arrived;/), SOON);
    primary.signal("SIGTERM");
    await deadline(primary.says(/disconnected: draining/), SOON);
    for (const client of [idle, fresh]) {
      client.write(request("/quick"));
      assertEquals((await deadline(client.response(), SOON)).body, "quick");
    }
    process.kill(worker, "SIGUSR2");
    assertEquals((await deadline(busy.response(), SOON)).body, "answered");
    await deadline(primary.exit, SOON);
  });
}

for (const how of ["ends", "disconnects"]) {
  for (const kind of kinds) {
    test(`[${runtime}] graceful() answers what a cluster worker of ${kind}() has in flight when its primary ${how}`, async () => {
      const primary = run("cluster.ts", [how, kind]);
      const worker = Number(await primary.says(/^starts: (\d+)/m));
      const client = await connect(JSON.parse(await primary.says(/addr: (.*);/)));
      client.write(request("/"));
      await deadline(primary.says(/arrived;/), SOON);
      primary.signal("SIGTERM");
      await deadline(primary.says(/disconnected: draining/), SOON);
      process.kill(worker, "SIGUSR2");
      assertEquals((await deadline(client.response(), SOON)).body, "answered");
      await deadline(primary.says(/cleaned up;/), SOON);
      assertEquals(await deadline(primary.says(/ended: (.*);/), SOON), "disconnected 0");
      await deadline(primary.exit, SOON);
    });
  }
}

test(`[${runtime}] serve() rejects in a cluster worker whose primary has gone, and does not wait forever`, async () => {
  const primary = run("cluster_orphan.ts", []);
  await deadline(primary.says(/: Error: the primary of this worker has gone;/), SOON);
  await deadline(primary.says(/exit 3;/), SOON);
  await deadline(primary.exit, SOON);
});
