/** The frameworks that people run, each as its users would: the real packages, in real processes. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { secondLoopback } from "../support/loopback.ts";
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
/** It listens with a server of `Bun.serve`, whose responses nobody can have say `Connection: close`. */
const bunAlone = { "Elysia, listen": "elysia_listen.ts" };
const others = { node: nodeAlone, deno: {}, bun: bunAlone }[runtime];
const programs: Record<string, string> = { ...everywhere, ...others };

/** A program with a connection that is idle, and one whose request is in flight. */
interface Busy {
  program: Program;
  idle: RawClient;
  active: RawClient;
}

/** Starts a program, and waits for the port that it listens on. */
async function listening(
  file: string,
  ...args: string[]
): Promise<{ program: Program; port: number }> {
  const program = run(`frameworks/${file}`, args);
  const port = Number(await deadline(program.says(/^address: .*"port":(\d+)/m), SOON));
  return { program, port };
}

async function start(file: string, timeout: number): Promise<Busy> {
  const { program, port } = await listening(file, String(timeout));
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
    const said = file === bunAlone["Elysia, listen"] ? undefined : "close";
    assertEquals(headers["connection"]?.toLowerCase(), said);
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

/** Where Fastify listens on "localhost": with a server for each address. */
function localhost(port: number): [Addr, Addr] {
  return [
    { transport: "tcp", hostname: "127.0.0.1", port },
    { transport: "tcp", hostname: secondLoopback, port },
  ];
}

async function isRefused(addr: Addr): Promise<void> {
  for (;;) {
    try {
      (await connect(addr)).socket.destroy();
    } catch {
      return;
    }
  }
}

test(`[${runtime}] graceful() drains both servers with which Fastify listens on localhost`, async () => {
  const { program, port } = await listening("fastify_localhost.ts", "15000");
  const clients = await Promise.all(localhost(port).map((addr) => connect(addr)));
  for (const client of clients) client.write(request("/slow"));
  await deadline(program.says(/arrived: \/slow\n[^]*arrived: \/slow\n/), SOON);
  program.signal("SIGTERM");
  for (const addr of localhost(port)) await deadline(isRefused(addr), SOON);
  program.signal("SIGUSR2");
  for (const client of clients) {
    const { body, headers } = await deadline(client.response(), SOON);
    assertEquals([body, headers["connection"]?.toLowerCase()], ["slow", "close"]);
    assertEquals(await deadline(client.closed, SOON), "end");
  }
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  assertMatch(program.stdout, /\ncleanup\n$/);
});

test(`[${runtime}] graceful() keeps the grace of the second server of Fastify when the first has closed`, async () => {
  const { program, port } = await listening("fastify_localhost.ts", "15000");
  const idle = await connect(localhost(port)[1]);
  idle.write(request("/"));
  assertEquals((await deadline(idle.response(), SOON)).body, "hello");
  program.signal("SIGTERM");
  for (const addr of localhost(port)) await deadline(isRefused(addr), SOON);
  // By now the first server, which has no connection, has closed.
  await deadline(program.says(/^graceful: waiting for 1 connection/m), SOON);
  idle.write(request("/"));
  const { body, headers } = await deadline(idle.response(), SOON);
  assertEquals([body, headers["connection"]?.toLowerCase()], ["hello", "close"]);
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
});

for (const given of ["server", "another app"]) {
  test(`[${runtime}] graceful() says that the second server of Fastify is not drained, given ${given}`, async () => {
    const { program } = await listening("fastify_localhost.ts", "15000", given);
    await deadline(
      program.says(/^graceful: Fastify listens on 'localhost' with one server/m),
      SOON,
    );
    program.kill();
    await deadline(program.exit, SOON);
  });
}
