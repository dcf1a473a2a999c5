/** Servers of a protocol of one's own: the same shutdown, with the states that the handler sets. */
import { after, test } from "node:test";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline, delay } from "@std/async";
import {
  type Addr,
  type ConnState,
  type Server,
  serveTcp,
  ShutdownIncompleteError,
  type TcpConn,
  type TcpHandler,
  type TcpOptions,
} from "../../mod.ts";
import { NEW_CONN_LIFETIME } from "../../src/server/conn_table.ts";
import { startTcp } from "../../src/runtime/node/tcp.ts";
import { DrainNotice } from "../../src/core/drain_notice.ts";
import { tcpSettings } from "../../src/options/tcp.ts";
import { connect, type RawClient } from "../../support/client.ts";
import { BIG, pem, runtime, temporaryFolder } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms: far above what anything here takes, and below the 5 s of a new connection. */
const SOON = 4_000;
/** For what starts a process. */
const PROCESS = 20_000;

/** A poll that never comes: the drain ends by what happens alone. */
const unpolled = { pollInterval: 3_600_000 } as const;

const local = { port: 0, hostname: "127.0.0.1" } as const;
const encoder = new TextEncoder();

async function* linesOf({ readable }: TcpConn): AsyncGenerator<string> {
  let rest = "";
  for await (const text of readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

/** A server of commands, with a gate that its slow ones wait at. */
class Fixture {
  server!: Server;
  readonly errors: unknown[] = [];
  readonly states: ConnState[] = [];
  /** How many handlers have settled. */
  settled = 0;
  readonly #gate = Promise.withResolvers<void>();
  readonly #arrivals: string[] = [];
  #change = Promise.withResolvers<void>();

  static async start(options: TcpOptions = {}, handler?: TcpHandler): Promise<Fixture> {
    const fixture = new Fixture();
    fixture.server = await serveTcp(handler ?? fixture.handler, {
      ...options.path === undefined ? local : {},
      onError: (error) => fixture.errors.push(error),
      onConnState: (state) => {
        fixture.states.push(state);
        fixture.changed();
      },
      ...options,
    });
    open.add(fixture.server);
    return fixture;
  }

  /** Lets the slow commands go on. */
  open(): void {
    this.#gate.resolve();
  }

  changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** Resolves when the condition holds, which is looked at when a state changes or a line comes. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await deadline(this.#change.promise, SOON);
  }

  arrived(line: string): Promise<void> {
    return this.until(() => this.#arrivals.includes(line));
  }

  /** The states of the connections that are open. */
  get openStates(): ConnState[] {
    return this.server.connections().map(({ state }) => state);
  }

  /** A client that has been answered, and whose connection is idle. */
  async idle(): Promise<RawClient> {
    const before = this.states.filter((state) => state === "idle").length;
    const client = await connect(this.server.addr);
    client.write("hello\n");
    await client.take(/hello back\n/);
    await this.until(() => this.states.filter((state) => state === "idle").length > before);
    return client;
  }

  /** A client whose command waits at the gate, or does whatever else does not end. */
  async busy(line = "wait", paused = false): Promise<RawClient> {
    const client = await connect(this.server.addr, { paused });
    client.write(`${line}\n`);
    await this.arrived(line);
    return client;
  }

  handler = async (conn: TcpConn): Promise<void> => {
    try {
      const writer = conn.writable.getWriter();
      const say = (text: string) => writer.write(encoder.encode(text));
      conn.draining.addEventListener("abort", () => void say("draining\n").catch(() => {}));
      for await (const line of linesOf(conn)) {
        this.#arrivals.push(line);
        this.changed();
        if (line === "throw") throw new Error("thrown by a handler");
        if (line === "throw later") {
          await this.#gate.promise;
          throw new Error("thrown by a handler");
        }
        if (line === "stuck") await new Promise(() => {});
        if (line === "wait") await this.#gate.promise;
        if (line === "quit") break;
        if (line === "string") {
          // The second is still in the queue that fails.
          for (let i = 0; i < 2; i++) writer.write(new Uint8Array(1)).catch(() => {});
          await writer.write("text" as never);
        }
        if (line === "big") await writer.write(new Uint8Array(BIG));
        // Neither waited for nor sent yet when the connection is said to be idle.
        if (line === "big unawaited") {
          for (let i = 0; i < 32; i++) writer.write(new Uint8Array(BIG / 32)).catch(() => {});
        }
        say(`${line} back\n`).catch(() => {});
        conn.setState("idle");
      }
      await say("bye\n");
    } finally {
      this.settled++;
      this.changed();
    }
  };
}

const open = new Set<Server>();
after(() => Promise.all([...open].map((server) => server.close())));

/** Has a client not end its side when the server has ended its own. */
function keepOpen({ socket }: RawClient): void {
  // The cast: the types leave it open what listeners take.
  socket.off("end", socket.listeners("end").at(-1) as () => void);
}

async function isRefused({ server }: Fixture): Promise<boolean> {
  try {
    (await connect(server.addr)).socket.destroy();
    return false;
  } catch {
    return true;
  }
}

test(`[${runtime}] serveTcp() returns a server that says what it is`, async () => {
  const fixture = await Fixture.start();
  const { server } = fixture;
  const { port } = server.addr as { port: number };
  assertEquals(server.url, `tcp://127.0.0.1:${port}/`);
  assertEquals([server.engine, server.state, server.handoff], ["node", "serving", undefined]);
  const client = await fixture.idle();
  const [conn] = server.connections();
  assertEquals(conn?.remoteAddr, {
    transport: "tcp",
    hostname: "127.0.0.1",
    port: client.socket.localPort!,
  });
  await server.close();
  assertEquals(server.state, "closed");
});

test(`[${runtime}] serveTcp() derives states from the bytes and the handler`, async () => {
  const fixture = await Fixture.start();
  const client = await connect(fixture.server.addr);
  await fixture.until(() => fixture.states.includes("new"));
  assertEquals(fixture.openStates, ["new"]);
  client.write("wa");
  await fixture.until(() => fixture.states.includes("active"));
  client.write("it\n");
  await fixture.arrived("wait");
  fixture.open();
  await client.take(/wait back\n/);
  await fixture.until(() => fixture.states.includes("idle"));
  client.write("ping");
  await fixture.until(() => fixture.states.at(-1) === "active");
  client.socket.end();
  await client.take(/bye\n/);
  await client.closed;
  await fixture.until(() => fixture.states.at(-1) === "closed");
  assertEquals(fixture.states, ["new", "active", "idle", "active", "closed"]);
  await fixture.server.shutdown();
});

test(`[${runtime}] shutdown() closes idle connections at the first poll, and their handlers see the end`, async () => {
  const fixture = await Fixture.start();
  const clients = [await fixture.idle(), await fixture.idle()];
  const done = fixture.server.shutdown(unpolled);
  for (const client of clients) {
    assertEquals(await deadline(client.closed, SOON), "end");
    assertEquals(client.received, "draining\n");
  }
  const report = await deadline(done, SOON);
  assertEquals([report.reason, report.idle, report.drained], ["drained", 2, 0]);
  assert(await isRefused(fixture));
  assertEquals([fixture.settled, fixture.errors], [2, []]);
});

test(`[${runtime}] shutdown() answers an active connection in full, and closes it when it is idle`, async () => {
  const fixture = await Fixture.start();
  const client = await fixture.busy();
  const done = fixture.server.shutdown(unpolled);
  while (!await isRefused(fixture));
  assertEquals(fixture.openStates, ["active"]);
  fixture.open();
  await client.take(/wait back\n/);
  assertEquals(await deadline(client.closed, SOON), "end");
  const report = await deadline(done, SOON);
  assertEquals([report.idle, report.drained], [1, 0]);
});

test(`[${runtime}] shutdown() closes an active connection when its handler returns`, async () => {
  const fixture = await Fixture.start({}, async ({ readable, writable }) => {
    const [first] = await Array.fromAsync(readable, (chunk) => chunk.length);
    await writable.getWriter().write(encoder.encode(`got ${first}`));
  });
  const client = await connect(fixture.server.addr);
  client.write("12345");
  await fixture.until(() => fixture.states.includes("active"));
  const done = fixture.server.shutdown(unpolled);
  while (!await isRefused(fixture));
  client.socket.end();
  assertEquals(await deadline(client.closed, SOON), "end");
  assertEquals(client.received, "got 5");
  assertEquals((await deadline(done, SOON)).drained, 1);
});

test(`[${runtime}] shutdown() serves a request that is half received`, async () => {
  const fixture = await Fixture.start();
  const client = await fixture.idle();
  client.write("hal");
  await fixture.until(() => fixture.states.at(-1) === "active");
  const done = fixture.server.shutdown(unpolled);
  while (!await isRefused(fixture));
  client.write("f\n");
  await client.take(/half back\n/);
  assertEquals(await deadline(client.closed, SOON), "end");
  await deadline(done, SOON);
});

test(`[${runtime}] shutdown() keeps a new connection, and serves it if its request comes`, async () => {
  const fixture = await Fixture.start();
  const client = await connect(fixture.server.addr);
  await fixture.until(() => fixture.states.includes("new"));
  const done = fixture.server.shutdown();
  while (!await isRefused(fixture));
  assertEquals(fixture.openStates, ["new"]);
  client.write("hello\n");
  await client.take(/hello back\n/);
  assertEquals(await deadline(client.closed, SOON), "end");
  await deadline(done, SOON);
});

test(`[${runtime}] shutdown() closes a new connection that stays silent once it is 5 s old`, async () => {
  const handler: TcpHandler = async ({ readable }) => void await Array.fromAsync(readable);
  const settings = tcpSettings(local, new DrainNotice(), undefined);
  const driver = await startTcp(handler, settings);
  const client = await connect(driver.addr);
  while (driver.connections(0).length === 0) await delay(1);
  driver.startDrain(() => {});
  await driver.closeListeners(false);
  const policy = { spareIdle: true, ignoreHijacked: false, onlyChanged: false, atOnce: true };
  const now = performance.now();
  assertEquals(driver.closeIdleConns(now + NEW_CONN_LIFETIME - 1_000, policy), false);
  await delay(20);
  assertEquals(client.isOver, false);
  driver.closeIdleConns(now + NEW_CONN_LIFETIME, policy);
  assertEquals(await deadline(client.closed, SOON), "end");
  while (!driver.closeIdleConns(now, policy)) await delay(1);
  assertEquals(driver.tally, { idle: 1, drained: 0, forced: 0 });
});

test(`[${runtime}] shutdown() is woken by a connection that was accepted while it started`, async () => {
  const handler: TcpHandler = async ({ readable, setState }) => {
    for await (const _ of readable) setState("idle");
  };
  const driver = await startTcp(
    handler,
    tcpSettings(local, new DrainNotice(), undefined),
  );
  const changed = Promise.withResolvers<void>();
  driver.startDrain(changed.resolve);
  const client = await connect(driver.addr);
  client.write("x");
  await deadline(changed.promise, SOON);
  await driver.closeListeners(false);
  await driver.closeAll();
  await client.closed;
});

test(`[${runtime}] shutdown() keeps an idle connection for idleGrace, and serves it on`, async () => {
  const fixture = await Fixture.start();
  const [asks, silent] = [await fixture.idle(), await fixture.idle()];
  const done = fixture.server.shutdown({ idleGrace: 300 });
  while (!await isRefused(fixture));
  asks.write("hello\n");
  await asks.take(/hello back\n/);
  for (const client of [asks, silent]) assertEquals(await deadline(client.closed, SOON), "end");
  assert((await deadline(done, SOON)).duration >= 299);
});

for (const line of ["big", "big unawaited"]) {
  test(`[${runtime}] serveTcp() sends a slow reader all of a large answer: ${line}`, async () => {
    const fixture = await Fixture.start();
    const client = await fixture.busy(line, true);
    const done = fixture.server.shutdown({ timeout: SOON });
    while (!await isRefused(fixture));
    assertEquals(fixture.openStates, ["active"]);
    const expected = BIG + "draining\n".length + `${line} back\n`.length;
    assertEquals(await client.countToEnd(), expected);
    const report = await done;
    assertEquals([report.reason, report.idle], ["drained", 1]);
  });
}

test(`[${runtime}] serveTcp() sends a slow reader what a handler wrote before it returned`, async () => {
  const fixture = await Fixture.start({}, ({ writable, setState }) => {
    setState("active");
    const writer = writable.getWriter();
    for (let i = 0; i < 32; i++) writer.write(new Uint8Array(BIG / 32)).catch(() => {});
  });
  const client = await connect(fixture.server.addr, { paused: true });
  await fixture.until(() => fixture.states.includes("active"));
  const done = fixture.server.shutdown(unpolled);
  while (!await isRefused(fixture));
  assertEquals(await client.countToEnd(), BIG);
  assertEquals((await deadline(done, SOON)).drained, 1);
});

test(`[${runtime}] serveTcp() does not lose an answer to a client that goes on sending`, async () => {
  const fixture = await Fixture.start({}, async ({ readable, writable }) => {
    const reader = readable.getReader();
    await reader.read();
    await reader.cancel();
    await writable.getWriter().write(new Uint8Array(1024 * 1024));
  });
  const client = await connect(fixture.server.addr, { paused: true });
  client.write("x".repeat(64 * 1024));
  await fixture.until(() => fixture.states.includes("active"));
  const done = fixture.server.shutdown(unpolled);
  // Time to do it wrong: a closed socket answers what comes with a reset.
  for (let i = 0; i < 4; i++) {
    await delay(20);
    client.write("x".repeat(64 * 1024));
  }
  assertEquals(await client.countToEnd(), 1024 * 1024);
  client.socket.end();
  await deadline(done, SOON);
  assertEquals(fixture.errors, []);
});

test(`[${runtime}] serveTcp() sends an answer in spite of what the handler left unread`, async () => {
  const gate = Promise.withResolvers<void>();
  const fixture = await Fixture.start({}, async ({ writable }) => {
    await gate.promise;
    await writable.getWriter().write(encoder.encode("too much"));
  });
  const client = await connect(fixture.server.addr);
  client.socket.end("x".repeat(BIG / 2));
  await fixture.until(() => fixture.states.includes("active"));
  // Time to read ahead as far as it does.
  await delay(50);
  gate.resolve();
  assertEquals(await deadline(client.closed, SOON), "end");
  assertEquals(client.received, "too much");
  await deadline(fixture.server.shutdown(), SOON);
});

test(`[${runtime}] shutdown() waits no more than 500 ms for a client that does not end its side`, async () => {
  const fixture = await Fixture.start();
  const client = await fixture.idle();
  keepOpen(client);
  const { duration } = await deadline(fixture.server.shutdown(), SOON);
  assert(duration > 480 && duration < 2_000, `it took ${duration} ms`);
  client.vanish();
});

test(`[${runtime}] serveTcp() lets each side end for itself`, async () => {
  const fixture = await Fixture.start({}, async ({ readable, writable }) => {
    const writer = writable.getWriter();
    await writer.write(encoder.encode("first "));
    let length = 0;
    for await (const chunk of readable) length += chunk.length;
    await writer.write(encoder.encode(`got ${length}`));
    await writer.close();
  });
  const client = await connect(fixture.server.addr);
  client.write("12345");
  await client.take(/first /);
  client.socket.end("678");
  assertEquals(await deadline(client.closed, SOON), "end");
  assertEquals(client.received, "got 8");

  let received = "";
  const other = await Fixture.start({}, async ({ readable, writable }) => {
    await writable.close();
    for await (const text of readable.pipeThrough(new TextDecoderStream())) received += text;
  });
  const sender = await connect(other.server.addr);
  keepOpen(sender);
  await deadline(sender.end(), SOON);
  sender.socket.end("behind the end");
  await deadline(sender.closed, SOON);
  await other.until(() => other.states.at(-1) === "closed");
  assertEquals(received, "behind the end");
  for (const { server } of [fixture, other]) await server.shutdown();
  assertEquals([...fixture.errors, ...other.errors], []);
});

test(`[${runtime}] serveTcp() lets a handler answer that has stopped reading`, async () => {
  const fixture = await Fixture.start();
  const client = await fixture.busy("quit");
  assertEquals(await deadline(client.closed, SOON), "end");
  assertEquals(client.received, "bye\n");
  await fixture.server.shutdown();
});

test(`[${runtime}] serveTcp() tells onError what a handler throws, and closes the connection`, async () => {
  const fixture = await Fixture.start();
  assertEquals(await (await fixture.busy("throw")).closed, "end");
  const client = await fixture.busy("throw later");
  const done = fixture.server.shutdown(unpolled);
  fixture.open();
  assertEquals(await deadline(client.closed, SOON), "end");
  assertEquals(client.received, "draining\n");
  await deadline(done, SOON);
  assertEquals(fixture.errors.map(String), Array(2).fill("Error: thrown by a handler"));

  const sync = await Fixture.start({}, () => {
    throw new Error("at once");
  });
  await (await connect(sync.server.addr)).closed;
  assertEquals(sync.errors.map(String), ["Error: at once"]);
  await sync.server.shutdown();
});

test(`[${runtime}] serveTcp() goes on when onError fails itself`, async () => {
  const error = console.error;
  const complaints: unknown[] = [];
  console.error = (about: unknown) => complaints.push(about);
  try {
    const fixture = await Fixture.start({ onError: () => Promise.reject(new Error("its own")) });
    await (await fixture.busy("throw")).closed;
    await fixture.idle();
    await fixture.server.shutdown();
  } finally {
    console.error = error;
  }
  assertEquals(complaints.map(String), ["Error: its own"]);
});

test(`[${runtime}] serveTcp() lets a handler write only bytes, and set only "active" and "idle"`, async () => {
  const fixture = await Fixture.start();
  assertEquals(await (await fixture.busy("string")).closed, "end");
  assertEquals(fixture.errors.map(String), [
    "TypeError: Cannot write as 'chunk' must be a Uint8Array: current value is \"text\"",
  ]);
  await fixture.server.shutdown();
  const checked = Promise.withResolvers<void>();
  const other = await Fixture.start({}, async ({ setState }) => {
    const wrong = () => new Promise(() => setState("new" as "idle"));
    await assertRejects(wrong, TypeError, "'state' must be");
    checked.resolve();
  });
  const client = await connect(other.server.addr);
  await deadline(checked.promise, SOON);
  await client.closed;
  assertEquals(other.errors, []);
  await other.server.shutdown();
});

test(`[${runtime}] shutdown() closes nothing when it fails, and names the connection`, async () => {
  const fixture = await Fixture.start();
  const client = await fixture.busy();
  const { server } = fixture;
  const error = await assertRejects(
    () => server.shutdown({ timeout: 50 }),
    ShutdownIncompleteError,
    "1 connection is still open (active for",
  );
  const [left] = error.report.connections;
  assertEquals(left?.state, "active");
  assertEquals((left?.remoteAddr as { port: number }).port, client.socket.localPort);
  assert(left !== undefined && left.age >= 49);
  assertEquals(client.isOver, false);
  // Nobody waits any more, but the drain goes on.
  fixture.open();
  await client.take(/wait back\n/);
  assertEquals(await deadline(client.closed, SOON), "end");
  await deadline(server.finished, SOON);
  assertEquals(server.state, "closed");
});

test(`[${runtime}] close() ends the connection of a stuck handler, and a shutdown() that waits`, async () => {
  const fixture = await Fixture.start();
  const client = await fixture.busy("stuck");
  const reader = await fixture.busy("big", true);
  const done = fixture.server.shutdown(unpolled);
  await deadline(fixture.server.close(), SOON);
  const report = await deadline(done, SOON);
  assertEquals([report.reason, report.forced], ["closed", 2]);
  reader.socket.resume();
  await deadline(Promise.all([client.closed, reader.closed]), SOON);
  // Of the two the one that writes is told; it is not an error of the handler.
  await fixture.until(() => fixture.settled === 1);
  assertEquals(fixture.errors, []);
  await fixture.server.close();
});

test(`[${runtime}] serveTcp() takes a client that vanishes for no error, and does not wait for it`, async () => {
  const fixture = await Fixture.start();
  const clients = [
    await fixture.idle(),
    await fixture.busy("big", true),
    await fixture.busy("stuck"),
  ];
  const done = fixture.server.shutdown({ idleGrace: 3_000, ...unpolled });
  for (const client of clients) client.vanish();
  await deadline(done, SOON);
  await fixture.until(() => fixture.settled === 2);
  assertEquals(fixture.errors, []);
});

test(`[${runtime}] serveTcp() drops what is written after the end, which is no error`, async () => {
  const gate = Promise.withResolvers<void>();
  const settled = Promise.withResolvers<void>();
  const fixture = await Fixture.start({}, async ({ readable, writable, setState }) => {
    setState("idle");
    for await (const _ of readable);
    setState("active");
    await gate.promise;
    settled.resolve();
    await writable.getWriter().write(encoder.encode("late"));
  });
  const client = await connect(fixture.server.addr);
  keepOpen(client);
  await fixture.until(() => fixture.states.includes("idle"));
  const done = fixture.server.shutdown();
  await deadline(client.end(), SOON);
  client.vanish();
  await deadline(done, SOON);
  gate.resolve();
  await settled.promise;
  await delay(10);
  assertEquals(fixture.errors, []);
  assertEquals(fixture.states, ["new", "idle", "closed"]);
});

test(`[${runtime}] serveTcp() takes an empty chunk`, async () => {
  const fixture = await Fixture.start({}, async ({ writable }) => {
    const writer = writable.getWriter();
    await writer.write(new Uint8Array());
    await writer.write(encoder.encode("behind it"));
    await writer.write(new Uint8Array());
  });
  const client = await connect(fixture.server.addr);
  await deadline(client.closed, SOON);
  assertEquals(client.received, "behind it");
  await deadline(fixture.server.shutdown(), SOON);
});

test(`[${runtime}] serveTcp() holds up a client whose handler does not read`, async () => {
  const gate = Promise.withResolvers<void>();
  let received = 0;
  const fixture = await Fixture.start({}, async ({ readable, writable }) => {
    await gate.promise;
    for await (const chunk of readable) received += chunk.length;
    await writable.getWriter().write(encoder.encode("all"));
  });
  const client = await connect(fixture.server.addr);
  client.socket.end("x".repeat(BIG));
  // What the system takes it takes at once: then nothing moves.
  for (let before = -1; before !== client.socket.bytesWritten - client.socket.writableLength;) {
    before = client.socket.bytesWritten - client.socket.writableLength;
    await delay(100);
  }
  assert(client.socket.writableLength > 0, "the client still has most of it");
  gate.resolve();
  await deadline(client.closed, SOON);
  assertEquals([client.received, received], ["all", BIG]);
  await fixture.server.shutdown();
});

for (const waitsFor of ["each write", "ready"] as const) {
  test(`[${runtime}] serveTcp() holds up a handler that waits for ${waitsFor} by a client that does not read`, async () => {
    let sent = 0;
    const fixture = await Fixture.start({}, async ({ writable }) => {
      const writer = writable.getWriter();
      for (; sent < 4 * BIG; sent += 64 * 1024) {
        await writer.ready;
        const written = writer.write(new Uint8Array(64 * 1024));
        if (waitsFor === "each write") await written;
        else written.catch(() => {});
      }
    });
    const client = await connect(fixture.server.addr, { paused: true });
    for (let before = -1; before !== sent;) {
      before = sent;
      await delay(100);
    }
    assert(sent < 2 * BIG, `${sent} bytes are on the way`);
    assertEquals(await client.countToEnd(), 4 * BIG);
    await fixture.server.shutdown();
  });
}

test(`[${runtime}] serveTcp() serves over a unix socket`, async () => {
  const path = join(temporaryFolder(), "socket");
  const fixture = await Fixture.start({ path });
  assertEquals(fixture.server.url, `tcp+unix://${encodeURIComponent(path)}/`);
  const client = await fixture.idle();
  assertEquals(fixture.server.connections()[0]?.remoteAddr, { transport: "unix", path: "" });
  await deadline(fixture.server.shutdown(), SOON);
  await client.closed;
});

test(`[${runtime}] serveTcp() closes at its signal, calls onListen, and checks its options`, async () => {
  const controller = new AbortController();
  const heard: Addr[] = [];
  const onListen = (addr: Addr) => void heard.push(addr);
  const fixture = await Fixture.start({ signal: controller.signal, onListen });
  assertEquals(heard, [fixture.server.addr]);
  const client = await fixture.busy("stuck");
  controller.abort();
  await deadline(Promise.all([client.closed, fixture.server.finished]), SOON);

  const refused: [unknown, string][] = [
    [{ port: -1 }, "Cannot serve as 'port' must be an integer from 0 to 65535"],
    [{ cert: pem.cert }, "Cannot serve as 'key' must be given together"],
    [{ path: "/tmp/x", port: 1 }, "'port' must be absent where 'path' is given"],
    [{ onError: "log" }, "Cannot serve as 'onError' must be a function"],
    [{ onConnState: 1 }, "'onConnState'"],
    [{ signal: "SIGTERM" }, "'signal'"],
    [{ handoff: "no" }, "'handoff'"],
  ];
  for (const [options, message] of refused) {
    await assertRejects(() => serveTcp(() => {}, options as TcpOptions), Error, message);
  }
  await assertRejects(() => serveTcp("no" as never), TypeError, "'handler'");
  const other = await Fixture.start();
  const { port } = other.server.addr as { port: number };
  const error = await assertRejects(() => serveTcp(() => {}, { ...local, port }), Error, "in use");
  assertEquals((error as NodeJS.ErrnoException).code, "EADDRINUSE");
  await other.server.shutdown();
});

test(`[${runtime}] serveTcp() has a listener that can be handed over`, async () => {
  const fixture = await Fixture.start({ handoff: "inherit" });
  assertEquals(fixture.server.handoff, "inherit");
  const client = await fixture.idle();
  await deadline(fixture.server.shutdown(), SOON);
  assertEquals(await client.closed, "end");
  assert(await isRefused(fixture));
});

test(`[${runtime}] examples/tcp answers what it was asked, and exits 0`, async () => {
  const permissions = ["--allow-net", "--allow-env"];
  const program = run("../../examples/tcp/main.ts", [], permissions, { PORT: "0" });
  const port = Number(await deadline(program.says(/listening: (\d+);/), PROCESS));
  const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
  const [idle, slow, quits] = [await connect(addr), await connect(addr), await connect(addr)];
  idle.write("add\nadd\n");
  assertEquals(await deadline(idle.take(/2\n/), PROCESS), "1\n2\n");
  quits.write("help\nget\nquit\n");
  await deadline(quits.closed, PROCESS);
  assertEquals(quits.received, "commands: add, get, slow, quit\n2\ngoodbye\n");
  slow.write("slow\n");
  await delay(100);
  program.signal("SIGTERM");
  assertEquals(await deadline(slow.closed, PROCESS), "end");
  assertEquals(slow.received, "done\n");
  await assertRejects(() => connect(addr), Error, "ECONNREFUSED");
  assertEquals(await deadline(idle.closed, PROCESS), "end");
  assertEquals(await deadline(program.exit, PROCESS), 0, program.output);
  await program.says(/count: 2;/);
});

for (const handoff of runtime === "node" ? ["inherit"] : ["inherit", "reuseport"]) {
  test(`[${runtime}] graceful() restarts serveTcp() by ${handoff}, and the old process ends what it has begun`, async () => {
    const permissions = ["--allow-all", "--unstable-net"];
    const program = run("line_service.ts", [handoff], permissions);
    const says = (pattern: RegExp) => deadline(program.says(pattern), PROCESS);
    const old = await says(/^graceful: (\d+);/m);
    const port = Number(await says(/^up: (\d+) /m));
    const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
    const ask = async (client: RawClient) => {
      client.write("pid\n");
      return (await deadline(client.take(/^\d+\n/), PROCESS)).trim();
    };
    const [slow, idle] = [await connect(addr), await connect(addr)];
    assertEquals(await ask(idle), old);
    slow.write("slow\n");
    await says(/arrived: slow;/);
    process.kill(Number(old), "SIGHUP");
    const pid = await says(/^graceful: \d+;[\s\S]*^graceful: (\d+);/m);
    assert(pid !== old, "another process");
    // Connections that the old one has still to accept are its own.
    for (let answer = old; answer !== pid;) {
      const client = await connect(addr);
      answer = await ask(client);
      client.socket.end();
    }
    // An idle one is left open for a second, for its next request may be on the way.
    assertEquals(await ask(idle), old);
    assertEquals((await deadline(slow.take(/\n/), PROCESS)).trim(), old);
    await deadline(Promise.all([slow.closed, idle.closed]), PROCESS);
    await says(new RegExp(`^down: ${old} upgraded 0;`, "m"));
    assertEquals(await ask(await connect(addr)), pid);
    process.kill(Number(pid), "SIGTERM");
    await says(new RegExp(`^down: ${pid} SIGTERM 0;`, "m"));
    assertEquals(await deadline(program.exit, PROCESS), 0, program.output);
  });
}
