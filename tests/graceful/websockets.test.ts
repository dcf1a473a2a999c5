/** WebSockets as people serve them: the packages and the runtimes' own, in real processes. */
import { test } from "node:test";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr, GracefulOptions } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { RawWebSocket, TEXT, upgradeTo } from "../../support/raw_web_socket.ts";
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
  /** In bytes: for an echo that is still on its way when the drain starts. */
  large: number;
}

function plain(file: string, path = "/"): Kind {
  const message = (text: string) => text;
  return { file, path, greeting: [], message, code: 1001, large: 8 * 1024 ** 2 };
}

const socketIo: Kind = {
  file: "socket_io.ts",
  path: "/socket.io/?EIO=4&transport=websocket",
  greeting: [[/^0\{/, "40"], [/^40\{/, ""]],
  message: (text) => `42${JSON.stringify(["echo", text])}`,
  code: 1005,
  // Its limit is 1 MB.
  large: 900_000,
};

const kinds: Record<string, Kind> = {
  node: {
    "ws": plain("ws.ts"),
    "socket.io": socketIo,
    "crossws, node adapter": plain("crossws_node.ts"),
    "Hono, @hono/node-server": plain("hono_node.ts"),
  },
  deno: {
    "ws": plain("ws.ts"),
    "socket.io": socketIo,
    "crossws, serve": plain("crossws_deno.ts"),
    "Deno.upgradeWebSocket": plain("deno_upgrade.ts"),
    "Hono, serve": plain("hono_deno.ts"),
  },
  bun: {
    "ws": plain("ws.ts"),
    "socket.io": socketIo,
    "crossws, serve": plain("crossws_bun.ts"),
    "server.upgrade": plain("bun_upgrade.ts"),
    "Hono, serve": plain("hono_bun.ts"),
    "Elysia, serve": plain("elysia_bun.ts", "/ws"),
  },
}[runtime];

/** Opens a WebSocket of a kind, and says what it has to say first. */
async function open(addr: Addr, kind: Kind): Promise<RawWebSocket> {
  const socket = await deadline(RawWebSocket.open(addr, { path: kind.path }), SOON);
  for (const [said, answer] of kind.greeting) {
    assertMatch(await deadline(socket.text(), SOON), said);
    if (answer !== "") socket.send(TEXT, answer);
  }
  return socket;
}

async function start(
  { file }: Kind,
  timeout: number,
  hijacked: GracefulOptions["hijacked"] = "wait",
): Promise<{ program: Program; addr: Addr }> {
  const program = run(`websockets/${file}`, [String(timeout), JSON.stringify(hijacked)]);
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
    const client = await open(addr, kind);
    const text = kind.message("x".repeat(kind.large));
    // What it says has been written when its beginning comes.
    const begun = once(client.socket, "data").then(() => {});
    client.socket.once("data", () => void client.socket.pause());
    client.send(TEXT, text);
    await deadline(begun, SOON);
    await drainOf(program);
    // The client reads on when a process would have ended that waits for nothing but its event loop.
    await sleep(1_500);
    assert(client.received < kind.large);
    client.socket.resume();
    assert(await deadline(client.text(), SOON) === text);
    assertEquals((await deadline(client.closeFrame(), SOON))[0], kind.code);
    client.answerClose();
    await deadline(client.closed, SOON);
    await drained(program);
  });

  test(`${on} graceful() ends a WebSocket at the deadline whose client does not answer, and names it`, async () => {
    const { program, addr } = await start(kind, 300);
    const client = await open(addr, kind);
    client.endsWithServer = false;
    await drainOf(program);
    assertEquals((await deadline(client.closeFrame(), SOON))[0], kind.code);
    assertEquals(await deadline(program.exit, SOON), 1, program.output);
    assertMatch(program.output, /closing by force: hijacked for .* from (::ffff:)?127\.0\.0\.1$/m);
    client.socket.destroy();
  });

  test(`${on} graceful() lets a message cross the close frame, and exits 0 when the client has answered`, async () => {
    const { program, addr } = await start(kind, 15_000);
    const client = await open(addr, kind);
    await drainOf(program);
    assertEquals((await deadline(client.closeFrame(), SOON))[0], kind.code);
    client.send(TEXT, kind.message("crossing"));
    client.answerClose();
    await deadline(client.closed, SOON);
    await drained(program);
  });

  test(`${on} graceful() refuses upgrades during the drain with 503`, async () => {
    const { program, addr } = await start(kind, 15_000);
    const [kept, fresh] = [await connect(addr), await connect(addr)];
    kept.write(request("/"));
    assertEquals((await deadline(kept.response(), SOON)).body, "hello");
    // Accepted after those two.
    const socket = await open(addr, kind);
    const found = await drainOf(program);
    assertMatch(found, /^3 connections/);
    for (const state of ["idle", "new", "hijacked"]) assertMatch(found, new RegExp(`1 ${state}`));
    for (const client of [kept, fresh]) {
      client.write(upgradeTo(kind.path));
      assertEquals((await deadline(client.head(), SOON)).status, 503);
      await deadline(client.closed, SOON);
    }
    assertEquals((await deadline(socket.closeFrame(), SOON))[0], kind.code);
    socket.answerClose();
    await deadline(socket.closed, SOON);
    await drained(program);
  });
}

for (const name of ["ws", "Deno.upgradeWebSocket", "server.upgrade"]) {
  const kind = kinds[name];
  if (kind === undefined) continue;
  test(`[${runtime}, ${name}] graceful() cuts off a client that does not answer after hijacked.within, and exits 0`, async () => {
    const hijacked = { close: 4000, reason: "bye", within: 300 };
    const { program, addr } = await start(kind, 15_000, hijacked);
    const client = await open(addr, kind);
    client.endsWithServer = false;
    await drainOf(program);
    assertEquals(await deadline(client.closeFrame(), SOON), [4000, "bye"]);
    await drained(program);
    client.socket.destroy();
  });
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
