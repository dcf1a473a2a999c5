/** Paths of unix sockets that the kernel, or a runtime, would cut off: refused at the call. */
import { test } from "node:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Engine, listen, type Listener, type ServeOptions, serveTcp } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime, start, temporaryFolder } from "../support/fixture.ts";

/** In bytes: the longest path that every runtime can listen at. */
const LONGEST = process.platform === "linux" ? 107 : 103;

/** A path of so many bytes, or one more where a character of two bytes makes it so. */
function pathOf(length: number, char = "s"): string {
  const folder = temporaryFolder();
  const left = length - folder.length - 1;
  return join(folder, char.repeat(Math.ceil(left / new TextEncoder().encode(char).length)));
}

const ways: readonly (ServeOptions & { engine: Engine })[] = engines.flatMap((engine) => [
  { engine },
  { engine, handoff: "auto" as const },
]);

for (const way of ways) {
  const name = `[${runtime}, ${way.engine}, handoff ${way.handoff}]`;

  test(`${name} serve() can be reached at the longest path`, async () => {
    const path = pathOf(LONGEST);
    const { server } = await start(way.engine, { ...way, path });
    const client = await connect({ transport: "unix", path });
    client.write(request("/hello", "Connection: close"));
    assertEquals((await client.response()).body, "hello");
    await server.close();
    assert(!existsSync(path));
  });

  test(`${name} serve() refuses a longer path, and leaves nothing of it`, async () => {
    for (const path of [pathOf(LONGEST + 1), pathOf(LONGEST + 30), pathOf(LONGEST + 1, "ä")]) {
      const bytes = new TextEncoder().encode(path).length;
      const rule =
        `'path' must be of at most ${LONGEST} bytes, and without a NUL byte: current value is of ` +
        `${bytes} bytes, "${path}"`;
      await assertRejects(() => start(way.engine, { ...way, path }), RangeError, rule);
      assertEquals(readdirSync(join(path, "..")), []);
    }
  });
}

test(`[${runtime}] serve() refuses a path with a NUL, at which the kernel stops to read`, async () => {
  const path = `${pathOf(60)}\0`;
  await assertRejects(() => start(engines[0]!, { path }), RangeError, "'path' must be");
});

test(`[${runtime}] serve() refuses a folder without room for the first name of the socket`, async () => {
  const folder = pathOf(LONGEST - 2);
  mkdirSync(folder);
  const path = join(folder, "s");
  const attempts: (() => Promise<unknown>)[] = [
    () => start(engines[0]!, { path, handoff: "auto" }),
    () => serveTcp(() => {}, { path, handoff: "auto" }),
    (): Promise<Listener> => listen({ path }),
  ];
  for (const attempt of attempts) {
    const rule =
      `'path' must be in a folder of at most ${LONGEST - 7} bytes: current value is of ` +
      `${LONGEST - 1} bytes, "${path}"`;
    await assertRejects(attempt, RangeError, rule);
    assertEquals(readdirSync(folder), []);
  }
  const { server } = await start(engines[0]!, { path });
  await server.close();
});

test(`[${runtime}] listen() and serveTcp() refuse a longer path too`, async () => {
  const path = pathOf(LONGEST + 1);
  for (const call of [() => listen({ path }), () => serveTcp(() => {}, { path })]) {
    await assertRejects(call as () => Promise<unknown>, RangeError, "'path' must be of at most");
  }
});
