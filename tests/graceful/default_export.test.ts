/** Apps with a default export, which Bun and `deno serve` serve by themselves, in real processes. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import { runtime } from "../support/fixture.ts";
import { Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** What a runtime says when it serves a default export. */
const SERVES = /Started development server|deno serve: Listening on/;

/** Has the program answer a request, and then end by a signal; returns its exit code. */
async function askAndEnd(program: Program): Promise<number | string> {
  const url = await deadline(program.says(/^url: (.*);$/m), SOON);
  const response = await fetch(url, { headers: { connection: "close" } });
  assertEquals(await response.text(), "hello");
  program.signal("SIGTERM");
  return await deadline(program.exit, SOON);
}

test(`[${runtime}] serve() of the default export of another module is the only server`, async () => {
  const program = run("default_export/main.ts", []);
  assertEquals(await askAndEnd(program), 0, program.output);
  assert(!SERVES.test(program.output), program.output);
  assert(!program.output.includes("keeps the process alive"), program.output);
});

if (runtime === "bun") {
  test("[bun] graceful() leaves a module with a default export to Bun, which serves it when the drain is over", async () => {
    const program = run("default_export/both.ts", []);
    assertEquals(await askAndEnd(program), 0, program.output);
    assertMatch(program.output, /drained, exit code 0\n[^]*Started development server/);
    assertMatch(program.output, /keeps the process alive/);
  });
}

if (runtime === "deno") {
  test("[deno] graceful() leaves a module with a default export to deno serve, which serves it when the drain is over", async () => {
    const file = fileURLToPath(new URL("../programs/default_export/both.ts", import.meta.url));
    const flags = ["serve", "--no-check", "--allow-all", "--host", "127.0.0.1", "--port", "0"];
    const program = new Program(
      spawn(process.execPath, [...flags, file], { stdio: ["ignore", "pipe", "pipe"] }),
    );
    assertEquals(await askAndEnd(program), 0, program.output);
    assertMatch(program.output, /drained, exit code 0\n[^]*deno serve: Listening on/);
    assertMatch(program.output, /keeps the process alive/);
  });

  test("[deno] deno run serves no default export, and says so", async () => {
    const program = run("default_export/both.ts", []);
    assertEquals(await askAndEnd(program), 0, program.output);
    assert(!SERVES.test(program.output), program.output);
    assertMatch(program.output, /Detected export default/);
  });
}
