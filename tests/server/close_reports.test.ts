/** A response that `close()` cuts off is no error of its handler. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

for (const engine of engines.filter((engine) => engine !== "node")) {
  for (const path of ["/stuck-stream", "/big-stream", "/stuck"]) {
    for (const when of ["without a shutdown", "during one"]) {
      test(`[${runtime}, ${engine}] close() does not report the end of ${path} ${when}`, async () => {
        const fixture = await start(engine);
        const client = await connect(fixture.server.addr, { paused: path === "/big-stream" });
        client.write(request(path));
        await fixture.arrived(path);
        if (path === "/stuck-stream") await client.take(/first/);
        if (when === "during one") await fixture.server.shutdown({ timeout: 20 }).catch(() => {});
        await deadline(fixture.server.close(), SOON);
        client.vanish();
        await client.closed;
        await delay(20);
        assertEquals(fixture.errors, []);
      });
    }
  }
}
