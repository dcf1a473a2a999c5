/** Real processes: what a signal does to a service, on every engine. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { type Addr, graceful, type GracefulOptions } from "../../mod.ts";
import { connect, request } from "../support/client.ts";
import { engines, isOlderDeno, runtime, start } from "../support/fixture.ts";
import { Ending } from "../support/ending.ts";
import { type Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

async function addrOf(program: Program): Promise<Addr> {
  const port = Number(await program.says(/port: (\d+);/));
  return { transport: "tcp", hostname: "127.0.0.1", port };
}

for (const engine of engines) {
  const on = `${runtime}, engine ${engine}`;

  test(`${on}: SIGTERM drains, cleans up and exits 0`, async () => {
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

  test(`${on}: at the deadline a stuck request is cut off, and the exit code is 1`, async () => {
    const program = run("service.ts", [engine, "300"]);
    const client = await connect(await addrOf(program));
    client.write(request("/stuck"));
    await program.says(/arrived: \/stuck/);
    program.signal("SIGINT");
    await deadline(client.closed, SOON);
    assertEquals(await deadline(program.exit, SOON), 1);
    assertStringIncludes(program.output, "cause: SIGINT, forced: true\n");
  });

  test(`${on}: a second signal ends the process at once`, async () => {
    const program = run("service.ts", [engine, "15000"]);
    const client = await connect(await addrOf(program));
    client.write(request("/stuck"));
    await program.says(/arrived: \/stuck/);
    program.signal("SIGINT");
    await program.says(/hook/);
    assertEquals(await new Ending(program).force("SIGTERM"), 128 + 15);
    assert(!program.output.includes("cleanup"), program.output);
  });

  test(`${on}: nothing keeps the process alive after a shutdown`, async () => {
    const program = run("one_shot.ts", [engine]);
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(program.output, `engine: ${engine};\nhello\ndrained, closed\n`);
  });
}

for (const path of ["/leak", "/upload"]) {
  test(`${runtime}: a process that something keeps alive is ended: ${path}`, async () => {
    const program = run("service.ts", [engines[0]!, "100"]);
    const client = await connect(await addrOf(program));
    client.write(request(`POST ${path}`, "Content-Length: 10") + "12345");
    await program.says(/arrived: \//);
    program.signal("SIGTERM");
    assertEquals(await deadline(program.exit, SOON), 1);
    const isKept = path === "/leak" || isOlderDeno;
    const said = /^graceful: (.*) still keeps the process alive, ending it with exit code 1$/m
      .exec(program.output)?.[1];
    assertEquals(said !== undefined, isKept, program.output);
    if (path === "/leak") assertEquals(said, "Timeout");
  });
}

test(`${runtime}: a cleanup that fails does not stop the next, and the exit code is 1`, async () => {
  const program = run("service.ts", [engines[0]!, "15000", "failing"]);
  await addrOf(program);
  program.signal("SIGTERM");
  assertEquals(await deadline(program.exit, SOON), 1);
  assertStringIncludes(program.output, "rror: of a cleanup");
  assertStringIncludes(program.output, "cleanup of what came first\n");
});

if (runtime === "deno") {
  for (const engine of ["deno", "deno-serve"]) {
    test(`deno, engine ${engine}: --allow-net is all it needs`, async () => {
      const program = run("one_shot.ts", [engine], ["--allow-net"]);
      assertEquals(await deadline(program.exit, SOON), 0);
      assertStringIncludes(program.output, `engine: ${engine};\nhello\ndrained, closed\n`);
    });
  }

  test("deno: --allow-net is all that graceful needs", async () => {
    const program = run("service.ts", ["deno", "15000"], ["--allow-net"]);
    await addrOf(program);
    program.signal("SIGTERM");
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(program.output, "graceful: drained after ");
  });

  test("deno, engine node: --allow-net and --allow-env are all it needs", async () => {
    const program = run("one_shot.ts", ["node"], ["--allow-net", "--allow-env"]);
    assertEquals(await deadline(program.exit, SOON), 0);
    assertStringIncludes(program.output, "engine: node;\nhello\ndrained, closed\n");
  });
}

test(`${runtime}: graceful ends with its signal, or with its servers`, async () => {
  const controller = new AbortController();
  const servers = [(await start(engines[0]!)).server, (await start("node")).server];
  const done = graceful(servers, { signal: controller.signal, exit: false });
  controller.abort();
  const report = await deadline(done, SOON);
  assertEquals([report.cause, report.servers.length, report.exitCode], ["aborted", 2, 0]);
  assertEquals(servers.map(({ state }) => state), ["closed", "closed"]);

  const { server } = await start(engines[0]!);
  const ending = graceful(server, { exit: false });
  await server.close();
  assertEquals((await deadline(ending, SOON)).cause, "finished");
});

test(`${runtime}: graceful refuses bad options at the call`, async () => {
  const { server } = await start(engines[0]!);
  const refused: [unknown, string][] = [
    [{ timeout: -1 }, "'timeout'"],
    [{ signal: "SIGTERM" }, "'signal'"],
    [{ exit: -1 }, "'exit'"],
    [{ signals: ["SIGNONE"] }, "SIGNONE"],
    [{ cleanup: "db" }, "'cleanup'"],
  ];
  for (const [options, message] of refused) {
    await assertRejects(() => graceful(server, options as GracefulOptions), Error, message);
  }
  assertEquals(server.state, "serving");
});
