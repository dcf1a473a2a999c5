/** WebSockets as people serve them: the packages and the runtimes' own, in real processes. */
import { test } from "node:test";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { type Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** A program of tests/programs/websockets/ that echoes, and how it is spoken to. */
interface Kind {
  file: string;
  /** What a WebSocket is asked for at. */
  path: string;
  /** What it says first, each time, and what is to be said to that. */
  greeting: [said: RegExp, answer: string][];
  /** The message that carries this text, in both directions. */
  message(text: string): string;
  /** What it closes with at the drain. */
  code: number;
  /** Whether its connection ends only with the client's answer to that. */
  awaitsAnswer: boolean;
  /** In bytes: for an echo that is still on its way when the drain starts. */
  large: number;
}

function plain(file: string, awaitsAnswer: boolean, path = "/"): Kind {
  const message = (text: string) => text;
  return { file, path, greeting: [], message, code: 1001, awaitsAnswer, large: 8 * 1024 ** 2 };
}

const socketIo: Kind = {
  file: "socket_io.ts",
  path: "/socket.io/?EIO=4&transport=websocket",
  greeting: [[/^0\{/, "40"], [/^40\{/, ""]],
  message: (text) => `42${JSON.stringify(["echo", text])}`,
  code: 1005,
  awaitsAnswer: true,
  // Its limit is 1 MB.
  large: 900_000,
};

const kinds: Record<string, Kind> = {
  node: {
    "ws": plain("ws.ts", true),
    "socket.io": socketIo,
    "crossws, node adapter": plain("crossws_node.ts", true),
    "Hono, @hono/node-server": plain("hono_node.ts", true),
  },
  deno: {
    "ws": plain("ws.ts", true),
    "socket.io": socketIo,
    "crossws, serve": plain("crossws_deno.ts", true),
    "Deno.upgradeWebSocket": plain("deno_upgrade.ts", true),
    "Hono, serve": plain("hono_deno.ts", true),
  },
  bun: {
    "ws": plain("ws.ts", true),
    "socket.io": socketIo,
    "crossws, serve": plain("crossws_bun.ts", false),
    "server.upgrade": plain("bun_upgrade.ts", false),
    "Hono, serve": plain("hono_bun.ts", false),
    "Elysia, serve": plain("elysia_bun.ts", false, "/ws"),
  },
}[runtime];

const TEXT = 1;
const CLOSE = 8;

/** A WebSocket of bytes: it answers nothing by itself. */
class RawWebSocket {
  readonly client: RawClient;
  readonly #kind: Kind;

  constructor(client: RawClient, kind: Kind) {
    this.client = client;
    this.#kind = kind;
  }

  static async open(addr: Addr, kind: Kind): Promise<RawWebSocket> {
    const socket = new RawWebSocket(await connect(addr), kind);
    socket.client.write(upgradeTo(kind));
    assertEquals((await deadline(socket.client.head(), SOON)).status, 101);
    for (const [said, answer] of kind.greeting) {
      assertMatch((await socket.next()).payload, said);
      if (answer !== "") socket.send(TEXT, answer);
    }
    return socket;
  }

  /** Asks for the echo of a text. */
  ask(text: string): void {
    this.send(TEXT, this.#kind.message(text));
  }

  /** Waits for the echo of a text. */
  async echoed(text: string): Promise<void> {
    const { opcode, payload } = await this.next();
    assertEquals(opcode, TEXT);
    assert(payload === this.#kind.message(text), `${payload.length} bytes came`);
  }

  send(opcode: number, payload: string | Buffer): void {
    const body = Buffer.from(payload);
    const head = Buffer.alloc(14);
    head[0] = 0x80 | opcode;
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(body.length), 2);
    // Lengths have to be as short as they can be. The mask is of zeros.
    const short = Buffer.from([0x80 | opcode, 0x80 | body.length, 0, 0, 0, 0]);
    this.client.socket.write(Buffer.concat([body.length < 126 ? short : head, body]));
  }

  /** Waits for the next message, or control frame. */
  async next(): Promise<{ opcode: number; payload: string }> {
    let [payload, opcode] = ["", 0];
    for (let isLast = false; !isLast;) {
      const [first, second] = await this.#bytes(2);
      isLast = (first! & 0x80) !== 0;
      opcode ||= first! & 0x0f;
      let length = second! & 0x7f;
      if (length === 126) length = (await this.#bytes(2)).readUInt16BE();
      else if (length === 127) length = Number((await this.#bytes(8)).readBigUInt64BE());
      payload += await deadline(this.client.bytes(length), SOON);
    }
    return { opcode, payload };
  }

  /** Waits for the frame that closes, and returns its code. */
  async closeCode(): Promise<number> {
    const { opcode, payload } = await this.next();
    assertEquals(opcode, CLOSE);
    return payload === "" ? 1005 : Buffer.from(payload, "latin1").readUInt16BE();
  }

  async #bytes(count: number): Promise<Buffer> {
    return Buffer.from(await deadline(this.client.bytes(count), SOON), "latin1");
  }
}

function upgradeTo({ path }: Kind): string {
  return request(
    path,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  );
}

async function start({ file }: Kind, timeout: number): Promise<{ program: Program; addr: Addr }> {
  const program = run(`websockets/${file}`, [String(timeout)]);
  const port = Number(await deadline(program.says(/^address: .*"port":(\d+)/m), SOON));
  return { program, addr: { transport: "tcp", hostname: "127.0.0.1", port } };
}

/** Sends SIGTERM, and waits for the drain; returns what that found. */
function drainOf(program: Program): Promise<string> {
  program.signal("SIGTERM");
  return deadline(program.says(/draining (.*), for /), SOON);
}

async function drained(program: Program): Promise<void> {
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  assertMatch(program.stdout, /\ncleanup\n$/);
  assertMatch(program.output, /^graceful: ended after .*: drained, exit code 0$/m);
  assert(!program.output.includes("keeps the process alive"), program.output);
}

for (const [name, kind] of Object.entries(kinds)) {
  const on = `[${runtime}, ${name}]`;

  test(`${on} graceful() has WebSockets closed with ${kind.code} at SIGTERM, and exits 0`, async () => {
    const { program, addr } = await start(kind, 15_000);
    const { port } = addr as Addr & { transport: "tcp" };
    const socket = new WebSocket(`ws://127.0.0.1:${port}${kind.path}`);
    const closed = once(socket, "close");
    if (kind.greeting.length === 0) socket.addEventListener("open", () => socket.send("hello"));
    await deadline(once(socket, "message"), SOON);
    assertEquals(await drainOf(program), "1 connection (1 hijacked)");
    // The cast: what a WebSocket closes with.
    const [{ code }] = await deadline(closed, SOON) as [CloseEvent];
    assertEquals(code, kind.code);
    await drained(program);
  });

  test(`${on} graceful() lets an echo arrive that is on its way at SIGTERM`, async () => {
    const { program, addr } = await start(kind, 15_000);
    const socket = await RawWebSocket.open(addr, kind);
    const text = "x".repeat(kind.large);
    // What it says has been written when its beginning comes.
    const { socket: reader } = socket.client;
    const begun = once(reader, "data").then(() => {});
    reader.once("data", () => void reader.pause());
    socket.ask(text);
    await deadline(begun, SOON);
    await drainOf(program);
    assert(socket.client.received.length < kind.large);
    reader.resume();
    await socket.echoed(text);
    assertEquals(await socket.closeCode(), kind.code);
    socket.send(CLOSE, Buffer.from([0x03, 0xe9]));
    await deadline(socket.client.closed, SOON);
    await drained(program);
  });

  if (kind.awaitsAnswer) {
    test(`${on} graceful() ends a WebSocket at the deadline whose client does not answer, and names it`, async () => {
      const { program, addr } = await start(kind, 300);
      const socket = await RawWebSocket.open(addr, kind);
      await drainOf(program);
      assertEquals(await socket.closeCode(), kind.code);
      await deadline(socket.client.closed, SOON);
      assertEquals(await deadline(program.exit, SOON), 1, program.output);
      assertMatch(program.output, /closing by force: hijacked for .* from 127\.0\.0\.1$/m);
    });
  } else {
    test(`${on} graceful() ends a WebSocket with the close frame, for Bun does not wait for the client`, async () => {
      const { program, addr } = await start(kind, 15_000);
      const socket = await RawWebSocket.open(addr, kind);
      await drainOf(program);
      assertEquals(await socket.closeCode(), kind.code);
      await deadline(socket.client.closed, SOON);
      await drained(program);
    });
  }

  test(`${on} graceful() refuses upgrades during the drain with 503`, async () => {
    const { program, addr } = await start(kind, 15_000);
    const [kept, fresh] = [await connect(addr), await connect(addr)];
    kept.write(request("/"));
    assertEquals((await deadline(kept.response(), SOON)).body, "hello");
    // Accepted after those two.
    const socket = await RawWebSocket.open(addr, kind);
    const found = await drainOf(program);
    assertMatch(found, /^3 connections/);
    for (const state of ["idle", "new", "hijacked"]) assertMatch(found, new RegExp(`1 ${state}`));
    for (const client of [kept, fresh]) {
      client.write(upgradeTo(kind));
      assertEquals((await deadline(client.head(), SOON)).status, 503);
      await deadline(client.closed, SOON);
    }
    assertEquals(await socket.closeCode(), kind.code);
    socket.send(CLOSE, Buffer.from([0x03, 0xe9]));
    await deadline(socket.client.closed, SOON);
    await drained(program);
  });
}

if (runtime === "deno") {
  for (const name of ["Deno.upgradeWebSocket", "crossws, serve"]) {
    test(`[deno] graceful() ends a WebSocket of ${name} whose message crosses the close frame, and Deno's idle timer stays`, async () => {
      const kind = kinds[name]!;
      const { program, addr } = await start(kind, 15_000);
      const socket = await RawWebSocket.open(addr, kind);
      await drainOf(program);
      assertEquals(await socket.closeCode(), 1001);
      socket.ask("hello");
      await deadline(socket.client.closed, SOON);
      assertEquals(await deadline(program.exit, SOON), 0, program.output);
      assertMatch(program.output, /keeps the process alive/, "this exception is no more");
    });
  }
}

test(`[${runtime}] graceful() answers a long poll of socket.io at SIGTERM, and exits 0`, async () => {
  const { program, addr } = await start(socketIo, 15_000);
  const [client, poller] = [await connect(addr), await connect(addr)];
  const ask = async (text: string): Promise<string> => {
    client.write(text);
    return (await deadline(client.response(), SOON)).body;
  };
  const path = "/socket.io/?EIO=4&transport=polling";
  const { sid } = JSON.parse((await ask(request(path))).slice(1));
  const session = `${path}&sid=${sid}`;
  assertEquals(await ask(request(`POST ${session}`, "Content-Length: 2") + "40"), "ok");
  assertMatch(await ask(request(session)), /^40\{/);
  poller.write(request(session));
  // The poll comes over another connection, which is read within these turns of the event loop.
  for (let i = 0; i < 5; i++) assertEquals(await ask(request("/")), "hello");
  assertMatch(await drainOf(program), /1 active/);
  const { status, headers, body } = await deadline(poller.response(), SOON);
  // The packet that closes.
  assertEquals([status, body], [200, "1"]);
  assertEquals(headers["connection"]?.toLowerCase(), "close");
  await deadline(poller.closed, SOON);
  client.socket.end();
  await drained(program);
});
