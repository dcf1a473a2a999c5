/** A listening socket that another process goes on accepting on, without a handover. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** On Deno and Bun no server of this package can be sent, and on Bun no server of `node:http` accepts on a descriptor. */
const kinds = { node: ["serve", "tcp", "descriptor"], deno: ["descriptor"], bun: [] }[runtime];

for (const kind of kinds) {
  test(`[${runtime}, ${kind}] shutdown() leaves a socket open that was passed on to another process`, async () => {
    const program = run("passed_on.ts", [kind], ["--allow-all"]);
    assertEquals(await program.says(/answered by: (.*);/), "the other process", program.output);
    assertEquals(await program.exit, 0, program.output);
  });
}
