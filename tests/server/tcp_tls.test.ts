/** `serveTcp` over TLS: the same shutdown as without. */
import { after, test } from "node:test";
import net from "node:net";
import tls from "node:tls";
import { once } from "node:events";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { type ConnState, type Server, serveTcp, type TcpHandler } from "../../mod.ts";
import { connect, RawClient } from "../../support/client.ts";
import { first } from "../support/certificates.ts";
import { BIG, runtime } from "../support/fixture.ts";

/** In ms: below the 5 s of a new connection. */
const SOON = 4_000;

/** A poll that never comes: the drain ends by what happens alone. */
const unpolled = { pollInterval: 3_600_000 } as const;

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

interface Echo {
  readonly server: Server;
  readonly states: ConnState[];
  /** Lets the answers go. */
  answer(): void;
}

/** A server that answers each chunk, after the gate if it begins with "wait". */
async function start(handler?: TcpHandler): Promise<Echo> {
  const states: ConnState[] = [];
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const echo: TcpHandler = async ({ readable, writable, setState }) => {
    const writer = writable.getWriter();
    for await (const chunk of readable) {
      if (new TextDecoder().decode(chunk).startsWith("wait")) await promise;
      await writer.write(chunk);
      setState("idle");
    }
    await writer.write(new TextEncoder().encode("end"));
  };
  const server = await serveTcp(handler ?? echo, {
    port: 0,
    hostname: "127.0.0.1",
    ...first,
    onConnState: (state) => states.push(state),
  });
  open.add(server);
  return { server, states, answer };
}

const connectTo = ({ addr }: Server): Promise<RawClient> => connect(addr, { tls: {} });

/** Resolves when the server has a connection in each of these states. */
async function has({ connections }: Pick<Server, "connections">, ...states: ConnState[]) {
  const found = () => connections().map(({ state }) => state).sort().join();
  while (found() !== [...states].sort().join()) await new Promise((done) => setTimeout(done, 1));
}

test(`[${runtime}] shutdown() of serveTcp() over TLS closes idle connections, and answers active ones`, async () => {
  const { server, states, answer } = await start();
  const idle = await connectTo(server);
  idle.write("hello");
  await idle.take(/hello/);
  const active = await connectTo(server);
  active.write("wait");
  await has({ connections: () => server.connections() }, "active", "idle");
  const done = server.shutdown(unpolled);
  assertEquals(await deadline(idle.closed, SOON), "end");
  answer();
  await active.take(/wait/);
  assertEquals(await deadline(active.closed, SOON), "end");
  const { idle: closed, forced } = await deadline(done, SOON);
  assertEquals([closed, forced], [2, 0]);
  assertEquals(states.toSorted(), [
    "active",
    "active",
    "closed",
    "closed",
    "idle",
    "idle",
    "new",
    "new",
  ]);
});

test(`[${runtime}] shutdown() of serveTcp() over TLS keeps connections in their handshake, and new ones`, async () => {
  const { server } = await start();
  const { addr } = server;
  if (addr.transport !== "tcp") throw new Error("It listens on TCP");
  const raw = net.connect(addr.port, addr.hostname);
  await once(raw, "connect");
  const silent = await connectTo(server);
  await has({ connections: () => server.connections() }, "new", "new");
  const done = server.shutdown({ pollInterval: 5 });
  const socket = tls.connect({ socket: raw, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  for (const client of [new RawClient(socket), silent]) {
    client.write("hello");
    assertEquals(await client.take(/hello/), "hello");
    client.socket.on("end", () => client.socket.end());
    await deadline(client.closed, SOON);
  }
  assertEquals((await deadline(done, SOON)).reason, "drained");
});

test(`[${runtime}] close() of serveTcp() over TLS ends connections in every state`, async () => {
  const { server } = await start();
  const { addr } = server;
  if (addr.transport !== "tcp") throw new Error("It listens on TCP");
  const handshaking = await connect(addr);
  const [silent, active] = [await connectTo(server), await connectTo(server)];
  active.write("wait");
  await has({ connections: () => server.connections() }, "new", "new", "active");
  await deadline(server.close(), SOON);
  const clients = [handshaking, silent, active];
  await Promise.all(clients.map((client) => deadline(client.closed, SOON)));
});

test(`[${runtime}] serveTcp() over TLS outlives a client that speaks no TLS`, async () => {
  const { server } = await start();
  const plain = await connect(server.addr);
  plain.write("GET / HTTP/1.1\r\n\r\n");
  await deadline(plain.closed, SOON);
  await has({ connections: () => server.connections() });
  const client = await connectTo(server);
  client.write("hello");
  await client.take(/hello/);
  client.socket.destroy();
  await has({ connections: () => server.connections() });
});

const hellos = { "nothing": "", "half a hello": "\x16\x03\x01\x02\x00\x01" };
for (const [what, hello] of Object.entries(hellos)) {
  test(`[${runtime}] serveTcp() over TLS closes a connection whose client ends its side after ${what}`, async () => {
    const { server, states } = await start();
    // As the checks of load balancers do.
    const client = await connect(server.addr);
    await has({ connections: () => server.connections() }, "new");
    client.socket.end(hello, "latin1");
    await deadline(client.closed, SOON);
    await deadline(has({ connections: () => server.connections() }), SOON);
    assertEquals(states, ["new", "closed"]);
  });
}

test(`[${runtime}] serveTcp() over TLS answers a client that has ended its side`, async () => {
  const { server } = await start();
  const { socket } = await connectTo(server);
  const client = new RawClient(socket);
  socket.allowHalfOpen = true;
  socket.end("hello");
  await deadline(client.closed, SOON);
  assertEquals(client.received, "helloend");
});

test(`[${runtime}] shutdown() of serveTcp() over TLS sends all of a large response`, async () => {
  const { server } = await start(async ({ readable, writable, setState }) => {
    for await (const _ of readable) break;
    await writable.getWriter().write(new Uint8Array(BIG));
    setState("idle");
  });
  const client = await connectTo(server);
  client.write("x");
  await has({ connections: () => server.connections() }, "active");
  const done = server.shutdown(unpolled);
  assertEquals(await client.countToEnd(), BIG);
  await deadline(done, SOON);
});

test(`[${runtime}] serveTcp() over TLS refuses a listener that is closed`, async () => {
  const { server } = await start();
  await server.shutdown();
  await assertRejects(() => connectTo(server), Error);
});
