/** The owner of an adopted server of `Bun.serve` stops it by itself. */
import { test } from "node:test";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type NativeServer } from "../../mod.ts";
import { bun } from "../../src/runtime/api/bun.ts";
import { connect, request } from "../../support/client.ts";
import { Gate } from "../support/adopted.ts";
import { runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;

if (runtime === "bun") {
  test("[bun, adopted Bun.serve] finished resolves when the owner has stopped the server", async () => {
    const gate = new Gate();
    const native = bun().serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async () => new Response(await gate.answer("/wait")),
    });
    // The cast: what is declared of it is what the engine uses.
    const server = adopt(native as unknown as NativeServer);
    const client = await connect(server.addr);
    client.write(request("/wait"));
    await gate.arrived;
    const stopped = native.stop();
    assertEquals(server.state, "serving");
    gate.open();
    assertEquals((await deadline(client.response(), SOON)).body, "waited");
    await deadline(Promise.all([stopped, server.finished]), SOON);
    assertEquals(server.state, "closed");
  });

  test("[bun, adopted Bun.serve] graceful() cleans up and ends when the owner stops the server", async () => {
    const program = fileURLToPath(new URL("../programs/owner_stops.ts", import.meta.url));
    const { stdout } = await deadline(promisify(execFile)(process.execPath, [program]), SOON);
    assertEquals(stdout, "cleaned up\nexit code 0\n");
  });
} else {
  test(`[${runtime}] adopt() has no server of Bun here`, () => {});
}
