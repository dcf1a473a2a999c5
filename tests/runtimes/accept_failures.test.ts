/** Accepts that fail, by a client's doing or for want of descriptors, stop no other client. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import { deadline, delay } from "@std/async";
import type { Addr } from "../../mod.ts";
import { Acceptor } from "../../src/runtime/deno/acceptor.ts";
import type { DenoConn } from "../../src/runtime/api/deno.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";
import { commandOf, Program, run } from "../support/process.ts";

/** In ms. */
const SOON = 10_000;
/** How many connections are reset: a server that waits for each would take minutes. */
const RESETS = 200;

async function addressOf(program: Program): Promise<Addr & { transport: "tcp" }> {
  const port = Number(await program.says(/port: (\d+);/));
  return { transport: "tcp", hostname: "127.0.0.1", port };
}

/** Connects, and resets the connection at once. */
async function reset(addr: Addr & { transport: "tcp" }): Promise<void> {
  const socket = net.connect(addr.port, addr.hostname);
  await once(socket, "connect");
  socket.resetAndDestroy();
  await once(socket, "close");
}

async function answer(client: RawClient, path: string): Promise<string> {
  client.write(request(path));
  return (await deadline(client.response(), SOON)).body;
}

for (const engine of engines) {
  test(`[${runtime}, ${engine}] serve() is not held up by connections that are reset before it accepts them, and reports none`, async () => {
    const program = run("blockable.ts", [engine]);
    const addr = await addressOf(program);
    const blocker = await connect(addr);
    blocker.write(request("/block?ms=700"));
    for (let i = 0; i < RESETS; i++) await reset(addr);
    const honest = await connect(addr);
    assertEquals(await answer(honest, "/hello"), "done");
    assertEquals((await deadline(blocker.response(), SOON)).body, "done");
    blocker.vanish();
    honest.vanish();
    program.kill();
    await program.exit;
    assertEquals(program.output, `port: ${addr.port};\n`);
  });
}

if (runtime === "deno" && process.platform !== "win32") {
  test("[deno] serve() reports being out of descriptors once, and goes on when there are some", async () => {
    const file = fileURLToPath(new URL("../programs/blockable.ts", import.meta.url));
    const limited = ["-c", 'ulimit -n 200; exec "$@"', "sh", ...commandOf(file), "deno"];
    const program = new Program(spawn("sh", limited, { stdio: ["ignore", "pipe", "pipe"] }));
    const addr = await addressOf(program);
    const first = await connect(addr);
    assertEquals(await answer(first, "/take"), "done");
    const second = await connect(addr);
    second.write(request("/hello"));
    await deadline(program.says(/Too many open files/), SOON);
    assertEquals(await answer(first, "/release"), "done");
    assertEquals((await deadline(second.response(), SOON)).body, "done");
    first.vanish();
    second.vanish();
    program.kill();
    await program.exit;
    assertEquals(program.output.match(/Too many open files/g)?.length, 1);
  });
}

const conn: DenoConn = { remoteAddr: { path: "" }, close() {} };

function failure(code: string | undefined): Error {
  return Object.assign(new Error(`fails with ${code}`), code === undefined ? {} : { code });
}

/** A listener whose accepts end as scripted, and then wait until it is closed. */
class ScriptedListener {
  readonly addr = { path: "" };
  readonly #script: (DenoConn | Error)[];
  readonly #closed = Promise.withResolvers<never>();

  constructor(script: (DenoConn | Error)[]) {
    this.#script = script;
    // Nobody waits for it where the script has not ended.
    this.#closed.promise.catch(() => {});
  }

  ref(): void {}

  unref(): void {}

  async accept(): Promise<DenoConn> {
    const next = this.#script.shift();
    if (next === undefined) return await this.#closed.promise;
    if (next instanceof Error) throw next;
    return next;
  }

  close(): void {
    this.#closed.reject(failure(undefined));
  }
}

/** Accepts what the script has; resolves with what was reported once a connection came. */
async function reportsOf(script: (DenoConn | Error)[]): Promise<unknown[]> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const reports: unknown[] = [];
  const acceptor = new Acceptor(new ScriptedListener([...script, conn]), {
    onConn: () => resolve(),
    onError: (error) => reports.push(error),
  });
  acceptor.start();
  await deadline(promise, SOON);
  await acceptor.close();
  return reports;
}

test(`[${runtime}] Acceptor goes through a thousand resets in a row at once`, async () => {
  const start = performance.now();
  const codes = ["ENOTCONN", "ECONNABORTED", "ECONNRESET", "EPROTO"];
  const script = Array.from({ length: 1_000 }, (_, i) => failure(codes[i % codes.length]));
  assertEquals(await reportsOf(script), []);
  assertEquals(performance.now() - start < 1_000, true);
});

for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", undefined]) {
  test(`[${runtime}] Acceptor reports ${code ?? "an error without a code"} once in a row`, async () => {
    const reports = await reportsOf(Array.from({ length: 4 }, () => failure(code)));
    assertEquals(reports.length, 1);
    assertMatch(String(reports[0]), /fails with/);
  });
}

test(`[${runtime}] Acceptor does not wait for a pause to end when it closes`, async () => {
  const reported = Promise.withResolvers<void>();
  const acceptor = new Acceptor(new ScriptedListener(Array(20).fill(failure("EMFILE"))), {
    onConn: () => {},
    onError: () => reported.resolve(),
  });
  acceptor.start();
  await reported.promise;
  // Five pauses: the next one is far longer than closing may take.
  await delay(200);
  const start = performance.now();
  assertEquals(acceptor.isOver, false);
  await acceptor.close();
  assertEquals(acceptor.isOver, true);
  assertEquals(performance.now() - start < 50, true);
});
