/** Restarts under load, each way there is: not one request may fail. bench/restart/ has the clients. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { soak } from "../../bench/restart/soak.ts";
import { engines, runtime } from "../support/fixture.ts";

const handoffs = runtime === "node" ? ["inherit"] as const : ["inherit", "reuseport"] as const;

for (const [index, engine] of engines.entries()) {
  // The engine that most services run on is tried the most.
  const restarts = index === 0 ? 10 : 3;
  for (const handoff of handoffs) {
    test(`[${runtime}, ${engine}, ${handoff}] Upgrader loses no request in ${restarts} restarts under load`, async () => {
      const result = await soak({
        runtime,
        engine,
        handoff,
        restarts,
        fresh: 8,
        kept: 8,
        // The rates are not looked at here, only the losses.
        warmUp: 100,
        steady: 400,
      });
      assertEquals([result.failed, result.failures, result.messages], [0, {}, []]);
      assertEquals(result.unclean, []);
    });
  }
}
