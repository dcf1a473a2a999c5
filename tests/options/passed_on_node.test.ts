/**
 * Each option of the block `node` reaches the server of node:http: a server with the option and one without it are told
 * apart from outside.
 */
import { test } from "node:test";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type http from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { assertEquals } from "@std/assert";
import type { Addr, NodeOptions, Server } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { runtime, start } from "../support/fixture.ts";

type Name = keyof NodeOptions & keyof http.ServerOptions;

/** In ms. The times of Node are 30 s and longer, so that a server that waits this long does not have the option. */
const PATIENCE = 1_500;
const SHORT = 100;
const WAITS = "waits";
const SOON = { connectionsCheckingInterval: 20 };

interface Proof {
  readonly options: NodeOptions;
  readonly observe: (server: Server) => unknown;
  readonly with: unknown;
  readonly without: unknown;
}

function native(server: Server): http.Server {
  // The cast: the engine is "node", without TLS.
  return server.native as http.Server;
}

async function send(server: Server, text: string): Promise<RawClient> {
  const client = await connect(server.addr);
  client.write(text);
  return client;
}

async function statusOf(server: Server, text: string): Promise<number> {
  return (await (await send(server, text)).head()).status;
}

async function headerOf(server: Server, name: string): Promise<string | undefined> {
  return (await (await send(server, request("/hello"))).response()).headers[name];
}

/** Whether the server gives up a request that never comes whole. */
function isGivenUp(text: string): (server: Server) => Promise<unknown> {
  return async (server) => {
    const client = await send(server, text);
    return await Promise.race([client.closed, sleep(PATIENCE, WAITS)]) !== WAITS;
  };
}

/** What a listener in front of the handler finds in a request. */
function found<T>(
  look: (message: http.IncomingMessage, response: http.ServerResponse) => T,
  ...headers: string[]
): (server: Server) => Promise<T> {
  return async (server) => {
    const result = new Promise<T>((resolve) => {
      native(server).prependOnceListener(
        "request",
        (message, response) => resolve(look(message, response)),
      );
    });
    await (await send(server, request("/hello", ...headers))).response();
    return result;
  };
}

/** The seconds until the kernel asks whether the client of an idle connection is still there. */
async function keepAliveTimer(server: Server): Promise<number | undefined> {
  const accepted = once(native(server), "connection");
  await connect(server.addr);
  const [socket] = await accepted as [Socket];
  // The cast: the server listens on TCP.
  const { port } = server.addr as Extract<Addr, { transport: "tcp" }>;
  const ends = [port, socket.remotePort!].map((port) =>
    `:${port.toString(16).toUpperCase().padStart(4, "0")} `
  );
  const row = readFileSync("/proc/net/tcp", "utf8").split("\n").find((line) =>
    new RegExp(`^ *\\d+: \\w+${ends[0]}\\w+${ends[1]}`).test(line)
  )!;
  const [kind, ticks] = row.trim().split(/\s+/)[5]!.split(":");
  return kind === "02" ? Math.round(Number.parseInt(ticks!, 16) / 100) : undefined;
}

const HALF_HEAD = "GET /hello HTTP/1.1\r\nHost:";
const HALF_BODY = "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab";
const LENGTH_AND_CHUNKS = "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n" +
  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

const proofs: Partial<Record<Name, Proof>> = {
  connectionsCheckingInterval: {
    options: { requestTimeout: SHORT, connectionsCheckingInterval: 20 },
    observe: isGivenUp(HALF_BODY),
    with: true,
    without: false,
  },
  headersTimeout: {
    options: { headersTimeout: SHORT, ...SOON },
    observe: isGivenUp(HALF_HEAD),
    with: true,
    without: false,
  },
  requestTimeout: {
    options: { requestTimeout: SHORT, ...SOON },
    observe: isGivenUp(HALF_BODY),
    with: true,
    without: false,
  },
  keepAliveTimeout: {
    options: { keepAliveTimeout: 7_000 },
    observe: (server) => headerOf(server, "keep-alive"),
    with: "timeout=7",
    without: "timeout=65",
  },
  keepAliveTimeoutBuffer: {
    options: { keepAliveTimeout: SHORT, keepAliveTimeoutBuffer: 30_000 },
    observe: async (server) => {
      const client = await send(server, request("/hello"));
      await client.response();
      // Node's own time is a second longer than what it announces.
      return await Promise.race([client.closed, sleep(PATIENCE * 2, WAITS)]);
    },
    with: WAITS,
    without: "end",
  },
  maxHeaderSize: {
    options: { maxHeaderSize: 2_048 },
    observe: (server) => statusOf(server, request("/hello", `Big: ${"x".repeat(4_000)}`)),
    with: 431,
    without: 200,
  },
  highWaterMark: {
    options: { highWaterMark: 12_345 },
    observe: found((message) => message.socket.readableHighWaterMark),
    with: 12_345,
    without: 65_536,
  },
  insecureHTTPParser: {
    options: { insecureHTTPParser: true },
    observe: (server) => statusOf(server, LENGTH_AND_CHUNKS),
    with: 200,
    without: 400,
  },
  httpValidation: {
    options: { httpValidation: "insecure" },
    observe: (server) => statusOf(server, LENGTH_AND_CHUNKS),
    with: 200,
    without: 400,
  },
  joinDuplicateHeaders: {
    options: { joinDuplicateHeaders: true },
    observe: found(
      ({ headers }) => headers["authorization"],
      "Authorization: a",
      "Authorization: b",
    ),
    with: "a, b",
    without: "a",
  },
  keepAlive: {
    options: { keepAlive: true, keepAliveInitialDelay: 100_000 },
    observe: async (server) => await keepAliveTimer(server) !== undefined,
    with: true,
    without: false,
  },
  keepAliveInitialDelay: {
    options: { keepAlive: true, keepAliveInitialDelay: 100_000 },
    observe: async (server) => await keepAliveTimer(server) === 100,
    with: true,
    without: false,
  },
  noDelay: {
    options: { noDelay: false },
    observe: (server) => (native(server) as { noDelay?: boolean }).noDelay,
    with: false,
    without: true,
  },
  rejectNonStandardBodyWrites: {
    options: { rejectNonStandardBodyWrites: true },
    observe: found((_, response) => {
      try {
        response.writeHead(204).write("a body");
        return "ignored";
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      } finally {
        response.end();
      }
    }),
    with: "ERR_HTTP_BODY_NOT_ALLOWED",
    without: "ignored",
  },
  requireHostHeader: {
    options: { requireHostHeader: false },
    observe: (server) => statusOf(server, "GET /hello HTTP/1.1\r\n\r\n"),
    with: 200,
    without: 400,
  },
  uniqueHeaders: {
    options: { uniqueHeaders: ["x-many"] },
    observe: async (server) => {
      native(server).prependOnceListener("request", (_, response) => {
        response.setHeader("x-many", ["a", "b"]);
      });
      const client = await send(server, request("/hello", "Connection: close"));
      return (await client.head()).headers["x-many"];
    },
    with: "a; b",
    without: "b",
  },
};

/**
 * What the runtime's own `node:http` does not do, with what is seen instead, whether the option is given or not.
 * docs/options.md has the list.
 */
const EXCEPTIONS: Record<typeof runtime, Partial<Record<Name, unknown>>> = {
  node: {},
  deno: {
    highWaterMark: 65_536,
    httpValidation: 400,
    keepAlive: false,
    keepAliveInitialDelay: false,
    keepAliveTimeoutBuffer: "end",
    uniqueHeaders: "b",
  },
  bun: {
    connectionsCheckingInterval: false,
    rejectNonStandardBodyWrites: "ignored",
    requestTimeout: false,
    requireHostHeader: 200,
    uniqueHeaders: "b",
    // The server that listens has the option, and is not the one that is shown.
    noDelay: true,
  },
};

for (const [name, proof] of Object.entries(proofs)) {
  // The cast: the names of the proofs are such names.
  const exceptions = EXCEPTIONS[runtime] as Record<string, unknown>;
  const isException = name in exceptions;
  const does = isException ? "does nothing on this runtime" : "reaches the server";
  test(`[${runtime}] 'node.${name}' ${does}`, async () => {
    const { [name]: _, ...others } = proof.options as Record<string, unknown>;
    const seen = isException
      ? { with: exceptions[name], without: exceptions[name] }
      : { with: proof.with, without: proof.without };
    for (const [node, expected] of [[proof.options, seen.with], [others, seen.without]] as const) {
      const { server } = await start("node", { node: node as NodeOptions });
      try {
        assertEquals(await proof.observe(server), expected, `with ${JSON.stringify(node)}`);
      } finally {
        await server.close();
      }
    }
  });
}

test(`[${runtime}] docs/options.md lists as options in 'node' those that have a proof`, () => {
  const page = readFileSync(new URL("../../docs/options.md", import.meta.url), "utf8");
  const rows = page.slice(page.indexOf("### `http.createServer`")).matchAll(
    /^\| `(\w+)` +\| in `node`/gm,
  );
  assertEquals([...rows].map(([, name]) => name).sort(), Object.keys(proofs).sort());
});

test(`[${runtime}] docs/options.md names what a runtime's node:http does not do`, () => {
  const page = readFileSync(new URL("../../docs/options.md", import.meta.url), "utf8");
  const [, deno, bun] = /On Deno 2\.9 these do nothing:(.*?)On Bun 1\.4 these:(.*?)\.\n/s.exec(
    page,
  )!;
  const names = (text: string) => [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name).sort();
  assertEquals(names(deno!), Object.keys(EXCEPTIONS.deno).sort());
  // Bun has this option: it is only not seen here.
  assertEquals([...names(bun!), "noDelay"].sort(), Object.keys(EXCEPTIONS.bun).sort());
});
