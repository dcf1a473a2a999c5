/** The deadline of the servers of a process: what has not drained by then is closed by force. */
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { Ending } from "../support/ending.ts";
import { engines, runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

for (const engine of engines) {
  test(`[${runtime}, ${engine}] graceful() cuts off a stuck request at the deadline, and exits 1`, async () => {
    const program = run("service.ts", [engine, "300"]);
    const port = Number(await program.says(/port: (\d+);/));
    const client = await connect({ transport: "tcp", hostname: "127.0.0.1", port });
    client.write(request("/stuck"));
    await program.says(/arrived: \/stuck/);
    program.signal("SIGINT");
    await deadline(client.closed, SOON);
    assertEquals(await deadline(program.exit, SOON), 1);
    assertStringIncludes(program.output, "cause: SIGINT, forced: true\n");
  });
}

test(`[${runtime}] graceful() gives several servers one deadline`, async () => {
  const ending = await Ending.start({ servers: ["auto", "node"], graceful: { timeout: 300 } });
  for (const addr of ending.addrs) await ending.request("/stuck", addr);
  await ending.says(/^arrived: \/stuck;[^]*^arrived: \/stuck;/m);
  ending.program.signal("SIGTERM");
  const { connections } = await ending.event("forced");
  assertEquals(connections.map(({ path }) => path), ["/stuck", "/stuck"]);
  assertEquals(await ending.exit(), 1);
  const { report, elapsed } = await ending.event("ended");
  assertEquals(report.servers.map(({ forced }) => forced), [1, 1]);
  assert(elapsed < 600, `${elapsed}`);
});
