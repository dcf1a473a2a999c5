/** What waits in a listener's accept queue is taken in before the listener closes. */
import { test } from "node:test";
import { once } from "node:events";
import { existsSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, serve, type ServeOptions, type Server, serveTcp } from "../../mod.ts";
import { type AcceptQueue, takeInAcceptQueue } from "../../src/runtime/host/accept_queue.ts";
import { connect } from "../../support/client.ts";
import { engines, pem, runtime, temporaryFolder } from "../support/fixture.ts";
import { run } from "../support/process.ts";
import { withoutFFI } from "../support/without_ffi.ts";

/** How many connections wait when the shutdown starts. */
const WAITING = 30;
/** In ms. */
const SOON = 20_000;
/** For how many ms this process may stand still until all clients are connected. */
const LONGEST_BLOCK = 10_000;

const folder = temporaryFolder();
const local = { port: 0, hostname: "127.0.0.1" } as const;
type Kind = "tcp" | "unix" | "tls";
let files = 0;
const newFile = () => join(folder, String(files++));

/** Stands still until the clients are connected, shuts down in the same turn, and counts answers. */
async function answeredAtShutdown(server: Server, kind: Kind): Promise<number> {
  const { addr } = server;
  const where = addr.transport === "unix" ? addr.path : String(addr.port);
  const file = newFile();
  const clients = run("queued_client.ts", [where, String(WAITING), kind, file]);
  const end = performance.now() + LONGEST_BLOCK;
  while (!existsSync(file)) assert(performance.now() < end, "The clients do not connect");
  const report = await deadline(server.shutdown(), SOON);
  assertEquals(report.reason, "drained");
  await assertRejects(() => connect(addr), Error);
  return Number(await deadline(clients.says(/answered: (\d+)/), SOON));
}

const kinds: Record<Kind, () => ServeOptions> = {
  tcp: () => local,
  unix: () => ({ path: newFile() }),
  tls: () => ({ ...local, ...pem }),
};

for (const engine of engines) {
  for (const kind of ["tcp", "unix", "tls"] as const) {
    test(`[${runtime}, ${engine}] shutdown() serves ${kind} connections that wait in the accept queue`, async () => {
      const server = await serve(() => new Response("hello"), { engine, ...kinds[kind]() });
      const answered = await answeredAtShutdown(server, kind);
      // Deno's own graceful stop ends a connection whose handshake is not done.
      if (engine === "deno-serve" && kind === "tls") {
        assert(answered < WAITING, "this exception is no more");
      } else assertEquals(answered, WAITING);
    });
  }
}

const natives = {
  http: () => http.createServer((_req, res) => void res.end("hello")),
  https: () => https.createServer(pem, (_req, res) => void res.end("hello")),
  net: () =>
    net.createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end("hello"));
    }),
};

for (const name of ["http", "https", "net"] as const) {
  for (const kind of name === "https" ? ["tls"] as const : ["tcp", "unix"] as const) {
    test(`[${runtime}] shutdown() of an adopted node:${name} serves the ${kind} connections that wait`, async () => {
      const native: net.Server = natives[name]();
      native.listen(kind === "unix" ? { path: newFile() } : { port: 0, host: "127.0.0.1" });
      await once(native, "listening");
      assertEquals(await answeredAtShutdown(adopt(native), kind), WAITING);
    });
  }
}

if (runtime === "node") {
  for (const kind of ["tcp", "tls"] as const) {
    test(`[node, without FFI] shutdown() serves the ${kind} connections that wait in the accept queue`, () =>
      withoutFFI(async () => {
        const server = await serve(() => new Response("hello"), kinds[kind]());
        assertEquals(await answeredAtShutdown(server, kind), WAITING);
      }));
  }

  test("[node, without FFI] shutdown() of an adopted node:http serves the connections that wait", () =>
    withoutFFI(async () => {
      const native = natives.http();
      native.listen({ port: 0, host: "127.0.0.1" });
      await once(native, "listening");
      assertEquals(await answeredAtShutdown(adopt(native), "tcp"), WAITING);
    }));
}

for (const kind of ["tcp", "unix"] as const) {
  test(`[${runtime}] shutdown() of serveTcp() serves the ${kind} connections that wait in the accept queue`, async () => {
    const server = await serveTcp(async ({ readable, writable }) => {
      await readable.getReader().read();
      await writable.getWriter().write(new TextEncoder().encode("hello"));
    }, kind === "unix" ? { path: newFile() } : local);
    assertEquals(await answeredAtShutdown(server, kind), WAITING);
  });
}

/** On Deno an immediate does not wait for a turn of the whole loop. */
const turnOfLoop = runtime === "deno" ? (run: () => void) => setTimeout(run, 0) : setImmediate;

/** An accept queue that gives away one connection in each turn of the event loop, as libuv's does. */
class ScriptedQueue implements AcceptQueue {
  taken = 0;
  left: number;
  readonly isLengthKnown: boolean;

  constructor(left: number, isLengthKnown: boolean) {
    this.left = left;
    this.isLengthKnown = isLengthKnown;
    const take = () => {
      if (this.left === 0) return;
      this.left--;
      this.taken++;
      turnOfLoop(take);
    };
    turnOfLoop(take);
  }

  waiting(): number | undefined {
    return this.isLengthKnown ? this.left : undefined;
  }

  accepted(): number {
    return this.taken;
  }
}

for (const isLengthKnown of [true, false]) {
  const what = isLengthKnown ? "empty" : "quiet";
  test(`[${runtime}] takeInAcceptQueue() turns the event loop until the queue is ${what}`, async () => {
    const queue = new ScriptedQueue(50, isLengthKnown);
    await deadline(takeInAcceptQueue(queue, new AbortController().signal), SOON);
    assertEquals([queue.taken, queue.left], [50, 0]);
  });
}

test(`[${runtime}] takeInAcceptQueue() ends under a load that never pauses, once those are in that waited at its start`, async () => {
  let accepted = 0;
  const queue = { waiting: () => 10, accepted: () => ++accepted };
  await deadline(takeInAcceptQueue(queue, new AbortController().signal), SOON);
  assert(accepted > 10);
});

test(`[${runtime}] takeInAcceptQueue() ends where nothing is accepted any more`, async () => {
  const queue = { waiting: () => 1, accepted: () => 0 };
  await deadline(takeInAcceptQueue(queue, new AbortController().signal), SOON);
});

test(`[${runtime}] takeInAcceptQueue() ends in the turn in which it is told to`, async () => {
  const force = new AbortController();
  const queue = { waiting: () => 1, accepted: () => 0 };
  const taken = takeInAcceptQueue(queue, force.signal);
  force.abort();
  let isOver = false;
  taken.then(() => isOver = true);
  await new Promise<void>((resolve) => turnOfLoop(resolve));
  await new Promise<void>((resolve) => turnOfLoop(resolve));
  assertEquals(isOver, true);
});
