/**
 * What the runtimes do by themselves, for the table of docs/engines.md: their own server, their own
 * graceful stop. It pins the versions that package.json does, and says so where it runs on others.
 */
import { test } from "node:test";
import http from "node:http";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";

/** How long a connection may take to close, in ms, before it counts as left open. */
const PATIENCE = 500;

/** A native server: `/wait` waits at a gate, `/upload` reads, all else is answered at once. */
interface Native {
  addr: Addr;
  /** Resolves when the request has reached its handler. */
  arrived: Promise<void>;
  open(): void;
  stop(): void;
  force(): void;
}

interface Runtimes {
  Deno: {
    serve(options: object, handler: (request: Request) => Promise<Response>): {
      addr: { port: number };
      shutdown(): Promise<void>;
    };
  };
  Bun: {
    serve(options: object): { port: number; stop(force?: boolean): Promise<void> };
  };
}

async function startNative(): Promise<Native> {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  const handler = async (request: Request) => {
    const { pathname } = new URL(request.url);
    arrival.resolve();
    if (pathname === "/wait") await gate.promise;
    return new Response(await request.text() || "hello");
  };
  const shared = { arrived: arrival.promise, open: () => gate.resolve() };
  const local = { hostname: "127.0.0.1", port: 0 };
  if (runtime === "deno") {
    const { Deno } = globalThis as unknown as Runtimes;
    const server = Deno.serve({ ...local, onListen: () => {} }, handler);
    const addr = { transport: "tcp", hostname: "127.0.0.1", port: server.addr.port } as const;
    return { ...shared, addr, stop: () => void server.shutdown(), force: () => {} };
  }
  if (runtime === "bun") {
    const { Bun } = globalThis as unknown as Runtimes;
    const server = Bun.serve({ ...local, fetch: handler });
    const addr = { transport: "tcp", hostname: "127.0.0.1", port: server.port } as const;
    return { ...shared, addr, stop: () => void server.stop(), force: () => void server.stop(true) };
  }
  const server = http.createServer(async (req, res) => {
    arrival.resolve();
    if (req.url === "/wait") await gate.promise;
    let body = "";
    for await (const chunk of req) body += chunk;
    res.end(body || "hello");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { port: number };
  const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
  return {
    ...shared,
    addr,
    stop: () => server.close(),
    force: () => server.closeAllConnections(),
  };
}

/** Whether the connection closes by itself. */
async function closes(client: RawClient): Promise<boolean> {
  return await deadline(client.closed, PATIENCE).then(() => true, () => false);
}

/** The body of the next response, or what became of it. */
async function answer(client: RawClient): Promise<string> {
  const body = client.response().then(({ body }) => body, () => "lost");
  return await deadline(body, PATIENCE).catch(() => "lost");
}

/** Three requests and their answers: by then, what was sent before has been received. */
async function settled({ addr }: Native): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const client = await connect(addr);
    client.write(request("/", "Connection: close"));
    await client.response();
    client.socket.destroy();
  }
}

/** What becomes of each kind of connection; the names are the rows of that table. */
const rows: Record<string, (native: Native, client: RawClient) => Promise<unknown>> = {
  "idle closes": async (native, client) => {
    client.write(request("/"));
    await client.response();
    native.stop();
    return await closes(client);
  },
  "active: says close, then closes": async (native, client) => {
    client.write(request("/wait"));
    await native.arrived;
    native.stop();
    native.open();
    const { headers } = await client.response();
    return [headers["connection"]?.toLowerCase() === "close", await closes(client)];
  },
  "new": async (native, client) => {
    await settled(native);
    native.stop();
    client.write(request("/"));
    return await answer(client);
  },
  "head half received": async (native, client) => {
    client.write("GET / HTTP/1.1\r\nHo");
    await settled(native);
    native.stop();
    client.write("st: test\r\n\r\n");
    return await answer(client);
  },
  "upload half received": async (native, client) => {
    client.write(request("POST /upload", "Content-Length: 10") + "12345");
    await native.arrived;
    native.stop();
    client.write("67890");
    return await answer(client);
  },
  "pipelined behind an active one": async (native, client) => {
    client.write(request("/wait") + request("/"));
    await native.arrived;
    native.stop();
    await delay(50);
    native.open();
    return [await answer(client), await answer(client)];
  },
};

const expected: Record<typeof runtime, Record<string, unknown>> = {
  node: {
    "idle closes": true,
    "active: says close, then closes": [false, false],
    "new": "lost",
    "head half received": "hello",
    "upload half received": "1234567890",
    "pipelined behind an active one": ["hello", "hello"],
  },
  deno: {
    "idle closes": true,
    "active: says close, then closes": [false, true],
    "new": "lost",
    "head half received": "lost",
    // From 2.9.6 on it is lost.
    "upload half received": "1234567890",
    "pipelined behind an active one": ["hello", "lost"],
  },
  bun: {
    "idle closes": true,
    "active: says close, then closes": [false, true],
    "new": "lost",
    "head half received": "hello",
    "upload half received": "1234567890",
    "pipelined behind an active one": ["lost", "lost"],
  },
};

const { devDependencies } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);
const isPinned = process.versions[runtime] === devDependencies[runtime];

for (const [row, observe] of Object.entries(rows)) {
  const name = `[${runtime}] docs/engines.md says what the runtime's own stop does: ${row}`;
  if (!isPinned) {
    test(`${name} (pinned for ${devDependencies[runtime]}, this is ${process.versions[runtime]})`, {
      skip: true,
    });
    continue;
  }
  test(name, async () => {
    const native = await startNative();
    const client = await connect(native.addr);
    try {
      assertEquals(await observe(native, client), expected[runtime][row]);
    } finally {
      client.vanish();
      native.open();
      native.force();
    }
  });
}
