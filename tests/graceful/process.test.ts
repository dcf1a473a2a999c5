/** Real processes: what a signal does to a service, on every engine. */
import { test } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, hasKernelHelp, isOlderDeno, runtime } from "../support/fixture.ts";
import { type Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

async function addrOf(program: Program): Promise<Addr> {
  const port = Number(await program.says(/port: (\d+);/));
  return { transport: "tcp", hostname: "127.0.0.1", port };
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} graceful() drains at SIGTERM, cleans up and exits 0`, async () => {
    const program = run("service.ts", [engine, "15000"]);
    const addr = await addrOf(program);
    const [idle, active] = [await connect(addr), await connect(addr)];
    idle.write(request("/"));
    await idle.response();
    active.write(request("/wait"));
    await program.says(/arrived: \/wait/);
    program.signal("SIGTERM");
    const response = await active.response();
    assertEquals(response.body, "drained");
    assertEquals(response.headers["connection"]?.toLowerCase(), "close");
    await Promise.all([idle.closed, active.closed]);
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(
      program.stdout,
      "hook\ncleanup of what came last\ncleanup of what came first\n" +
        "cause: SIGTERM, forced: false\n",
    );
  });

  test(`${on} shutdown() leaves nothing that keeps the process alive`, async () => {
    const program = run("one_shot.ts", [engine]);
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(program.output, `engine: ${engine};\nhello\ndrained, closed\n`);
  });
}

for (const path of ["/leak", "/upload"]) {
  test(`[${runtime}] graceful() ends a process that something keeps alive: ${path}`, async () => {
    const program = run("service.ts", [engines[0]!, "100"]);
    const client = await connect(await addrOf(program));
    client.write(request(`POST ${path}`, "Content-Length: 10") + "12345");
    await program.says(/arrived: \//);
    program.signal("SIGTERM");
    assertEquals(await deadline(program.exit, SOON), 1);
    // With the help of the kernel the engine "deno" ends an upload that is being read.
    const isKept = path === "/leak" || isOlderDeno && !hasKernelHelp;
    const said = /^graceful: (.*) still keeps the process alive, ending it with exit code 1$/m
      .exec(program.output)?.[1];
    assertEquals(said !== undefined, isKept, program.output);
    if (path === "/leak") assertEquals(said, "a timer (Timeout)");
  });
}

if (runtime === "deno") {
  for (const engine of ["deno", "deno-serve"]) {
    test(`[deno, ${engine}] serve() needs --allow-net alone`, async () => {
      const program = run("one_shot.ts", [engine], ["--allow-net"]);
      assertEquals(await deadline(program.exit, SOON), 0);
      assertStringIncludes(program.output, `engine: ${engine};\nhello\ndrained, closed\n`);
    });
  }

  test("[deno] graceful() needs --allow-net alone", async () => {
    const program = run("service.ts", ["deno", "15000"], ["--allow-net"]);
    await addrOf(program);
    program.signal("SIGTERM");
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(program.output, ": drained, exit code ");
  });

  test("[deno] graceful() serves, and says what it lacks, where it may not notify systemd", async () => {
    const env = { NOTIFY_SOCKET: "/nowhere" };
    for (
      const permissions of [["--allow-net", "--allow-env"], [
        "--allow-net",
        "--allow-env=NOTIFY_SOCKET",
      ]]
    ) {
      const program = run("service.ts", ["deno", "15000"], permissions, env);
      await addrOf(program);
      await program.says(/Cannot notify: Deno needs --allow-env=NOTIFY_SOCKET and --allow-ffi/);
      program.signal("SIGTERM");
      assertEquals(await deadline(program.exit, SOON), 0, program.output);
    }
  });

  test("[deno, node] serve() needs --allow-net and --allow-env alone", async () => {
    const program = run("one_shot.ts", ["node"], ["--allow-net", "--allow-env"]);
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(program.output, "engine: node;\nhello\ndrained, closed\n");
  });
}
