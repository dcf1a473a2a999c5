/** No engine limits the size of a body by itself. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** In bytes: Bun's own limit is 128 MiB. */
const HUGE = 200 * 1024 * 1024 * 1024;

for (const engine of engines) {
  test(`[${runtime}, ${engine}] serve() lets the handler hear of a huge upload`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("POST /ignore-upload", `Content-Length: ${HUGE}`) + "the beginning");
    await deadline(fixture.arrived("/ignore-upload"), SOON);
    fixture.open();
    const { status, body } = await deadline(client.response(), SOON);
    assertEquals([status, body], [413, "too much"], "the answer of the handler");
    client.vanish();
    await deadline(fixture.server.close(), SOON);
  });
}
