/** A drain waits for a handler whose client has left, and names it; a close does not. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import { ShutdownIncompleteError } from "../../mod.ts";
import { connect, request } from "../support/client.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

const UPLOAD = request("POST /wait", "Content-Length: 10") + "12345";

for (const engine of engines) {
  for (const tls of [false, true]) {
    for (const [what, sent] of [["a request", request("/wait")], ["an upload", UPLOAD]] as const) {
      for (const how of ["reset", "end"]) {
        const on = `${runtime}, engine ${engine}${tls ? " with TLS" : ""}, ${what}, ${how}`;

        test(`${on}: the handler is waited for`, async () => {
          const fixture = await start(engine, tls ? pem : {});
          const { server } = fixture;
          const client = await connect(server.addr, tls ? { alpn: "http/1.1" } : {});
          client.write(sent);
          await fixture.arrived("/wait");
          if (how === "reset") client.vanish();
          else client.socket.destroy();
          await client.closed;
          await fixture.settled();
          const error = await assertRejects(
            () => server.shutdown({ timeout: 100 }),
            ShutdownIncompleteError,
          );
          assertEquals(
            error.report.connections.map(({ state, path }) => [state, path]),
            [["active", "/wait"]],
          );
          const done = server.shutdown();
          await delay(20);
          assertEquals(server.state, "draining");
          fixture.open();
          assertEquals((await deadline(done, SOON)).reason, "drained");
        });
      }
    }
  }

  test(`${runtime}, engine ${engine}: a handler whose client has left is not waited for by close()`, async () => {
    const fixture = await start(engine);
    const client = await connect(fixture.server.addr);
    client.write(request("/stuck"));
    await fixture.arrived("/stuck");
    client.vanish();
    await fixture.settled();
    const done = fixture.server.shutdown();
    await deadline(fixture.server.close(), SOON);
    assertEquals((await deadline(done, SOON)).reason, "closed");
  });
}
