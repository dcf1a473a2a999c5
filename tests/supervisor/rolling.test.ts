/** Rolling restarts under load, and a worker that is killed: see bench/supervisor/ for larger ones. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { soakSupervised } from "../../bench/supervisor/soak.ts";
import { RUNTIMES } from "../../support/runtimes.ts";
import { runtime } from "../support/fixture.ts";

for (const worker of RUNTIMES) {
  test(
    `[${runtime}, workers of ${worker}] graceful run loses no request in rolling restarts under load`,
    async () => {
      const workers = 3;
      const restarts = 2;
      const result = await soakSupervised({
        supervisor: runtime,
        worker,
        workers,
        restarts,
        reuseport: false,
        fresh: 12,
        kept: 12,
        steady: 300,
        // A client on a busy machine may be late with its next request.
        idleGrace: 10_000,
      });
      assertEquals([result.failed, result.failed > 0 ? result.messages : []], [0, []]);
      assert(result.killed <= result.held, `${result.killed} were lost, of ${result.held}`);
      // The killed worker has no exit code, and the worker in its place has one.
      assertEquals(result.exitCodes, Array(workers * (restarts + 1)).fill(0));
    },
  );
}
