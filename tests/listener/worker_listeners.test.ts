/** Workers share the descriptors of their process: each finds its own, and closes no other. */
import { test } from "node:test";
import { join } from "node:path";
import process from "node:process";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { SOON } from "../support/generations.ts";
import { run } from "../support/process.ts";

if (process.platform === "linux") {
  test(`[${runtime}] listen() gives each of several Workers its own listener at the same time`, async () => {
    const program = run("worker_listeners.ts", [temporaryFolder(), "30"]);
    await deadline(program.exit, SOON);
    assertStringIncludes(program.output, "wrong: 0 of 120;");
  });

  for (const path of [undefined, "socket"]) {
    test(`[${runtime}] listen() in a Worker closes no number of another at its end, ${path ?? "TCP"}`, async () => {
      const args = path === undefined ? [] : [join(temporaryFolder(), path)];
      const program = run("worker_end.ts", args);
      assertEquals(await deadline(program.exit, SOON), 0);
      assertStringIncludes(program.output, "closed: 0;");
      if (runtime !== "node") return;
      assertStringIncludes(
        program.output,
        "refused: UpgradeError: Cannot give a descriptor to another server in the Worker",
      );
    });
  }
}
