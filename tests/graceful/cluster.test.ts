/** Workers of `node:cluster` that lose their primary. */
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 10_000;

// In a worker of Deno's no port can be shared but by the servers of Node's modules.
const kinds = runtime === "deno" ? ["adopt"] : ["serve", "adopt"];

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
