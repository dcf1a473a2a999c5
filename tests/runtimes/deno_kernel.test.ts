/**
 * The engine "deno" finds its connections through the kernel, or accepts and serves each one by itself. Most
 * tests run with the first, so the main rows are tested here with both.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { type LibC, libraries } from "../../src/runtime/linux/libc.ts";
import { type Fixture, hasKernelHelp, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 4_000;

/** Runs `use` with a server that serves each connection by itself, because no C library is there. */
async function withoutKernel(use: (fixture: Fixture) => Promise<void>): Promise<void> {
  const { open } = libraries;
  libraries.open = (): LibC | undefined => undefined;
  try {
    await use(await start("deno"));
  } finally {
    libraries.open = open;
  }
}

async function withKernel(use: (fixture: Fixture) => Promise<void>): Promise<void> {
  await use(await start("deno"));
}

const ways = { "with the kernel": withKernel, "without the kernel": withoutKernel };

for (const [way, withServer] of runtime === "deno" ? Object.entries(ways) : []) {
  test(`[deno, ${way}] shutdown() serves what has begun and closes what is idle`, async () => {
    await withServer(async (fixture) => {
      const { server } = fixture;
      const [idle, late, half, active, upload] = [
        await connect(server.addr),
        await connect(server.addr),
        await connect(server.addr),
        await connect(server.addr),
        await connect(server.addr),
      ];
      idle.write(request("/hello"));
      await idle.response();
      half.write("GET /hello HTTP/1.1\r\nHo");
      active.write(request("/wait"));
      upload.write(request("POST /upload", "Content-Length: 10") + "12345");
      await fixture.arrived("/wait");
      await fixture.arrived("/upload");
      await fixture.settled();
      const states = server.connections().map(({ state }) => state).sort();
      assertEquals(states, ["active", "active", "idle", "new", "new"]);
      const done = server.shutdown({ timeout: SOON });
      await deadline(idle.closed, SOON);
      late.write(request("/hello"));
      half.write("st: test\r\n\r\n");
      upload.write("67890");
      const answers = [await late.response(), await half.response(), await upload.response()];
      fixture.open();
      answers.push(await active.response());
      assertEquals(answers.map(({ status }) => status), [200, 200, 200, 200]);
      await deadline(Promise.all([late, half, upload, active].map(({ closed }) => closed)), SOON);
      assertEquals((await done).forced, 0);
    });
  });
}

if (runtime === "deno" && hasKernelHelp) {
  test("[deno, with the kernel] shutdown() serves a half-received head on a kept-alive connection", async () => {
    await withKernel(async ({ server }) => {
      const client = await connect(server.addr);
      client.write(request("/hello"));
      await client.response();
      await delay(20);
      client.write("GET /hello HTTP/1.1\r\nHo");
      await delay(20);
      const done = server.shutdown({ timeout: SOON });
      await delay(20);
      client.write("st: test\r\n\r\n");
      assertEquals((await client.response()).body, "hello");
      assertEquals((await done).forced, 0);
    });
  });
}
