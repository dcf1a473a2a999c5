/** `server.native` is the runtime's own server, and `unref` lets the process end while a server listens. */
import { test } from "node:test";
import http from "node:http";
import net from "node:net";
import { deadline } from "@std/async";
import { assert, assertEquals } from "@std/assert";
import { adopt, type Engine, serve, serveTcp } from "../../mod.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In milliseconds: a process that has not ended by then is kept alive. */
const SOON = 10_000;

for (const engine of engines) {
  test(`[${runtime}, ${engine}] serve() shows the runtime's own server as native`, async () => {
    for (const tls of [{}, pem]) {
      const { server } = await start(engine, tls);
      const expected: Record<Engine, string[]> = {
        node: ["listen", "address", "keepAliveTimeout"],
        deno: [],
        "deno-serve": ["finished", "shutdown", "addr"],
        bun: ["publish", "subscriberCount", "reload", "timeout", "requestIP"],
      };
      if (engine === "deno") assertEquals(server.native, undefined);
      else for (const name of expected[engine]) assert(name in Object(server.native), name);
      await server.shutdown();
    }
  });

  for (const kind of engine === engines[0] ? ["serve", "tcp", "adopt"] : ["serve"]) {
    test(`[${runtime}, ${engine}] unref() of ${kind} lets the process end`, async () => {
      const program = run("unref.ts", [engine, kind, "unref"]);
      assertEquals(await deadline(program.exit, SOON), 0, program.output);
      await program.says(/calls made;/);
    });

    test(`[${runtime}, ${engine}] ref() of ${kind} keeps the process alive again`, async () => {
      const program = run("unref.ts", [engine, kind, "unref,ref"]);
      await program.says(/calls made;/);
      const first = await Promise.race([
        program.exit.then(() => "ended"),
        new Promise((resolve) => setTimeout(resolve, 500, "alive")),
      ]);
      program.kill();
      assertEquals(first, "alive", program.output);
    });
  }

  // The listener of `Deno.listenTls` ignores `unref`.
  const ends = engine === "deno" ? [] : ["unref", "renew,unref", "unref,renew"];
  for (const calls of ends) {
    test(`[${runtime}, ${engine}] unref() with TLS lets the process end: ${calls}`, async () => {
      const program = run("unref.ts", [engine, "tls", calls]);
      assertEquals(await deadline(program.exit, SOON), 0, program.output);
      await program.says(/calls made;/);
    });
  }

  const stays = engine === "deno" ? ["unref"] : ["unref,renew,ref", "unref,ref,renew"];
  for (const calls of stays) {
    test(`[${runtime}, ${engine}] ref() with TLS keeps the process alive: ${calls}`, async () => {
      const program = run("unref.ts", [engine, "tls", calls]);
      await program.says(/calls made;/);
      const first = await Promise.race([
        program.exit.then(() => "ended"),
        new Promise((resolve) => setTimeout(resolve, 1_500, "alive")),
      ]);
      program.kill();
      assertEquals(first, "alive", program.output);
    });
  }

  test(`[${runtime}, ${engine}] ref() and unref() do nothing once the server is closed`, async () => {
    const { server } = await start(engine);
    await server.shutdown();
    server.unref();
    server.ref();
  });
}

test(`[${runtime}] native has a type that is known with the engine`, async () => {
  const server = await serve(() => new Response("hello"), { port: 0, engine: "node" });
  assert(server.native instanceof http.Server);
  const { server: other } = await start("auto" as Engine);
  if (other.engine === "node") assert(other.native !== undefined);
  await server.shutdown();
  await other.shutdown();
});

test(`[${runtime}] native of adopt() and serveTcp() is a server of Node's modules`, async () => {
  const native = http.createServer();
  assert(adopt(native).native === native);
  const server = await serveTcp(() => {}, { port: 0 });
  assert(server.native instanceof net.Server);
  await server.shutdown();
});
