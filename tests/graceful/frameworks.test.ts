/** The frameworks that people run, each as its users would: the real packages, in real processes. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { type Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** By the name of their program. */
const everywhere = {
  "Express 5": "express.ts",
  "Fastify 5": "fastify.ts",
  "Koa 3": "koa.ts",
  "NestJS 12, Express adapter": "nest.ts",
  "Polka": "polka.ts",
  "Hono, serve": "hono.ts",
  "Hono, @hono/node-server": "hono_node_server.ts",
  "h3 2, serve": "h3.ts",
  "Elysia, serve": "elysia.ts",
};
/** On the others it serves with their own servers. */
const nodeAlone = { "h3 2, srvx": "srvx.ts" };
const programs = runtime === "node" ? { ...everywhere, ...nodeAlone } : everywhere;

/** A program with a connection that is idle, and one whose request is in flight. */
interface Busy {
  program: Program;
  idle: RawClient;
  active: RawClient;
}

async function start(file: string, timeout: number): Promise<Busy> {
  const program = run(`frameworks/${file}`, [String(timeout)]);
  const port = Number(await deadline(program.says(/^address: .*"port":(\d+)/m), SOON));
  const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
  const [idle, active] = [await connect(addr), await connect(addr)];
  idle.write(request("/"));
  const response = await deadline(idle.response(), SOON);
  assertEquals(response.body, "hello");
  assert(response.headers["connection"]?.toLowerCase() !== "close");
  active.write(request("/slow"));
  await deadline(program.says(/^arrived: \/slow$/m), SOON);
  return { program, idle, active };
}

for (const [framework, file] of Object.entries(programs)) {
  test(`[${runtime}] graceful() drains ${framework} at SIGTERM, closes it and exits 0`, async () => {
    const { program, idle, active } = await start(file, 15_000);
    program.signal("SIGTERM");
    assertEquals(await deadline(idle.closed, SOON), "end");
    assert(!program.output.includes("cleanup"), "the framework is closed before its requests");
    program.signal("SIGUSR2");
    const { status, headers, body } = await deadline(active.response(), SOON);
    assertEquals([status, body], [200, "slow"]);
    assertEquals(headers["connection"]?.toLowerCase(), "close");
    assertEquals(await deadline(active.closed, SOON), "end");
    assertEquals(await deadline(program.exit, SOON), 0, program.output);
    assertMatch(program.stdout, /\ncleanup\n$/);
    assertMatch(program.output, /^graceful: ended after .*: drained, exit code 0$/m);
  });

  test(`[${runtime}] graceful() cuts off a stuck request of ${framework}, and exits 1`, async () => {
    const { program, idle, active } = await start(file, 200);
    program.signal("SIGTERM");
    await deadline(Promise.all([idle.closed, active.closed]), SOON);
    assertEquals(active.received, "");
    assertEquals(await deadline(program.exit, SOON), 1, program.output);
    assertMatch(program.stdout, /\ncleanup\n$/);
  });
}
