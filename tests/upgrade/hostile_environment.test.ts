/** What anybody can put into the environment is not believed: the process serves, and says so in one line. */
import { spawn } from "node:child_process";
import dgram from "node:dgram";
import net from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { commandOf, Program, run } from "../support/process.ts";

/** In ms. */
const SOON = 8_000;

const addr = { transport: "tcp", hostname: "127.0.0.1", port: 9527 };
const listener = { fd: 4, addr, asked: addr, handoff: "inherit", unlink: false };
const will = { pid: process.pid, ready: 3, listeners: [listener] };

/** Values of the variable of a predecessor, of which there is none. */
const wills: Record<string, string> = {
  "no descriptors": JSON.stringify(will),
  "no JSON": "yes",
  "an array": "[]",
  "null": "null",
  "a number": "1",
  "nothing in it": "{}",
  "a huge one": JSON.stringify({ ...will, listeners: Array(400).fill(listener) }),
  "descriptors of the console": JSON.stringify({ ...will, ready: 1 }),
  "negative descriptors": JSON.stringify({ ...will, listeners: [{ ...listener, fd: -1 }] }),
  "one descriptor for all": JSON.stringify({ ...will, listeners: [{ ...listener, fd: 3 }] }),
  "another process": JSON.stringify({ ...will, pid: 1 }),
  "an address of another kind": JSON.stringify({
    ...will,
    listeners: [{ ...listener, addr: { transport: "unix", path: 1 } }],
  }),
  "a prototype": '{"__proto__":{"pid":1,"ready":3,"listeners":[]}}',
  "control characters": '\u001b[2J"\u0085\u202e',
};

async function serves(program: Program): Promise<void> {
  const port = Number(await deadline(program.says(/^port: (\d+);/m), SOON));
  const client = await connect({ transport: "tcp", hostname: "127.0.0.1", port });
  client.write(request("/", "Connection: close"));
  assertEquals((await deadline(client.response(), SOON)).body, "hello");
  await deadline(program.says(/^own: ;/m), SOON);
}

/** Ends the program, and returns the lines in which it has said that it ignores something. */
async function ignored(program: Program): Promise<string[]> {
  program.signal("SIGTERM");
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  return program.output.split("\n").filter((line) => line.includes("Ignored"));
}

for (const [what, value] of Object.entries(wills)) {
  test(`[${runtime}] serve() ignores GRACEFUL_UPGRADE: ${what}`, async () => {
    const program = run("hostile.ts", ["serve"], undefined, { GRACEFUL_UPGRADE: value });
    await serves(program);
    const lines = await ignored(program);
    assertEquals(lines.length, 1, program.output);
    assert(lines[0]!.startsWith("Ignored GRACEFUL_UPGRADE, which "), lines[0]);
    assert(!/[\p{Cc}\p{Bidi_Control}]/u.test(lines[0]!), JSON.stringify(lines[0]));
  });
}

for (
  const [fds, line] of [["20000000", 1], ["-1", 1], ["three", 1], ["1e3", 1], ["0", 0]] as const
) {
  test(`[${runtime}] serve() is not held up by LISTEN_FDS=${fds}`, async () => {
    const program = run("hostile.ts", ["serve"], undefined, { LISTEN_FDS: fds, LISTEN_PID: "own" });
    await serves(program);
    assertEquals((await ignored(program)).length, line, program.output);
  });
}

test(`[${runtime}] mod.ts reads, prints and opens nothing when it is imported`, async () => {
  const program = run("hostile.ts", ["import"], undefined, {
    GRACEFUL_UPGRADE: "yes",
    LISTEN_FDS: "20000000",
    LISTEN_PID: "own",
  });
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  await program.says(/environment: true;/);
  assert(!program.output.includes("Ignored"), program.output);
  if (process.platform === "linux") await program.says(/descriptors: 0;/);
});

// The descriptors of this process cannot be passed on by their numbers on the other runtimes.
if (runtime === "node") {
  /** Sockets that do not listen, or not where it is said. */
  const sockets: Record<string, () => Promise<{ fd: number; close(): void }>> = {
    "a UDP socket": async () => {
      const socket = dgram.createSocket("udp4").bind(9527, "127.0.0.1");
      await once(socket, "listening");
      const { fd } = handleOfDatagrams(socket);
      return { fd, close: () => void socket.close() };
    },
    "a listener at another address": async () => {
      const server = net.createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return { fd: handleOf(server).fd, close: () => void server.close() };
    },
    "a connection": async () => {
      const server = net.createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      // The cast: it is TCP.
      const socket = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
      await once(socket, "connect");
      const close = () => {
        socket.destroy();
        server.close();
      };
      return { fd: handleOf(socket).fd, close };
    },
  };

  for (const [what, open] of Object.entries(sockets)) {
    test(`[node] serve() ignores GRACEFUL_UPGRADE: ${what}`, async () => {
      const { fd, close } = await open();
      const [command, ...flags] = commandOf(
        fileURLToPath(new URL("../programs/hostile.ts", import.meta.url)),
      );
      const child = spawn(command, [...flags, "serve"], {
        env: { ...process.env, GRACEFUL_UPGRADE: JSON.stringify(will) },
        stdio: ["ignore", "pipe", "pipe", "pipe", fd],
      });
      const program = new Program(child);
      await serves(program);
      assertEquals((await ignored(program)).length, 1, program.output);
      // Nothing was written to the pipe of the readiness.
      assertEquals(child.stdio[3] && "read" in child.stdio[3] && child.stdio[3].read(), null);
      close();
    });
  }
}

/** The cast: the handle is not in the types. */
function handleOf(owner: object): { fd: number } {
  return (owner as { _handle: { fd: number } })._handle;
}

function handleOfDatagrams(socket: dgram.Socket): { fd: number } {
  const symbols = Object.getOwnPropertySymbols(socket);
  const state = symbols.find(({ description }) => description === "state symbol");
  // The cast: node keeps the handle in a slot.
  return (socket as unknown as Record<symbol, { handle: { fd: number } }>)[state!]!.handle;
}
