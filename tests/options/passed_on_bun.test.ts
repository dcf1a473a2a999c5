/**
 * Each option of the block `bun` reaches Bun's server: a server with the option and one without it are told apart from
 * outside. Routes have tests of their own in native_options.test.ts.
 */
import { test } from "node:test";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import tls from "node:tls";
import { promisify } from "node:util";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ServeOptions, Server } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { pem, runtime, start } from "../support/fixture.ts";

/** In ms. A server without HTTP/3 says nothing. */
const PATIENCE = 2_000;

interface Proof {
  readonly bun: Record<string, unknown>;
  readonly options?: ServeOptions;
  readonly observe: (server: Server) => unknown;
  readonly with: unknown;
  readonly without: unknown;
}

function port(server: Server): number {
  // The cast: these servers listen on TCP.
  return (server.addr as { port: number }).port;
}

/** The protocol that the server chooses, or undefined if it refuses what the client speaks. */
function chosen(server: Server, ALPNProtocols: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port: port(server), rejectUnauthorized: false };
    const client = tls.connect({ ...options, ALPNProtocols }, () => {
      resolve(client.alpnProtocol || undefined);
      client.destroy();
    });
    client.on("error", () => resolve(undefined));
  });
}

/** The property of Bun's own server. */
function property(name: string): (server: Server) => unknown {
  // The cast: Bun's server has the properties of its type.
  return (server) => (server.native as unknown as Record<string, unknown>)[name];
}

// The cast: options of Bun's fetch.
const HTTP_3 = { protocol: "http3", tls: { rejectUnauthorized: false } } as RequestInit;

/** A request on a new connection: the fetch of a process has one for each server. */
async function http3OfAnotherProcess(server: Server): Promise<string> {
  const program = `const response = await fetch("${server.url}hello", ${JSON.stringify(HTTP_3)});
    console.log(await response.text());`;
  return (await promisify(execFile)(process.execPath, ["-e", program])).stdout.trim();
}

async function http3(server: Server): Promise<string> {
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    return await (await fetch(`${server.url}hello`, { ...HTTP_3, signal })).text();
  } catch {
    return "refused";
  }
}

const proofs: Record<string, Proof> = {
  routes: {
    bun: { routes: { "/hello": new Response("a route") } },
    observe: async (server) => await (await fetch(`${server.url}hello`)).text(),
    with: "a route",
    without: "hello",
  },
  maxRequestBodySize: {
    bun: { maxRequestBodySize: 10 },
    observe: async (server) => {
      const body = "x".repeat(11);
      return (await fetch(`${server.url}upload`, { method: "POST", body })).status;
    },
    with: 413,
    without: 200,
  },
  idleTimeout: {
    bun: { idleTimeout: 1 },
    observe: async (server) => {
      const client = await connect(server.addr);
      client.write(request("/stuck"));
      return await Promise.race([
        client.closed.then(() => "cut"),
        new Promise((resolve) => setTimeout(resolve, 6_000, "waits").unref()),
      ]);
    },
    with: "cut",
    without: "waits",
  },
  development: {
    bun: { development: true },
    observe: property("development"),
    with: true,
    without: false,
  },
  id: { bun: { id: "a name" }, observe: property("id"), with: "a name", without: "" },
  ipv6Only: {
    bun: { ipv6Only: true },
    options: { hostname: "::" },
    observe: (server) =>
      fetch(`http://127.0.0.1:${port(server)}/hello`).then(
        (response) => response.text(),
        () => "refused",
      ),
    with: "refused",
    without: "hello",
  },
  http1: {
    bun: { http1: false },
    options: pem,
    observe: (server) => chosen(server, ["http/1.1"]),
    with: undefined,
    without: "http/1.1",
  },
  http2: {
    bun: { http2: false },
    options: pem,
    observe: (server) => chosen(server, ["h2"]),
    with: undefined,
    without: "h2",
  },
  http3: { bun: { http3: true }, options: pem, observe: http3, with: "hello", without: "refused" },
};

if (runtime === "bun") {
  for (const [name, proof] of Object.entries(proofs)) {
    test(`[bun] 'bun.${name}' reaches the server`, async () => {
      for (const [bun, expected] of [[proof.bun, proof.with], [{}, proof.without]] as const) {
        const { server } = await start("bun", { ...proof.options, bun });
        try {
          assertEquals(await proof.observe(server), expected, `with ${JSON.stringify(bun)}`);
        } finally {
          await server.close();
        }
      }
    });
  }

  for (const name of ["http1", "http2"]) {
    test(`[bun] serve() refuses 'bun.${name}' beside 'alpnProtocols', which says the same`, async () => {
      await assertRejects(
        () => start("bun", { ...pem, alpnProtocols: ["http/1.1"], bun: { [name]: true } }),
        TypeError,
        `Cannot serve as 'bun.${name}' must be absent where 'alpnProtocols' is given`,
      );
    });
  }

  test("[bun] serve() says that Bun refuses the value of an option", async () => {
    const error = await assertRejects(
      () => start("bun", { bun: { routes: { "no-slash": new Response() } } }),
      TypeError,
      "Cannot serve as Bun refuses an option: ",
    );
    assert(/"no-slash".*must start with/i.test(error.message), error.message);
  });

  // Bun has no call that sends the GOAWAY of HTTP/3, or that refuses new connections of it alone.
  test("[bun] shutdown() takes new connections and requests of HTTP/3 until 'idleGrace' is over, an exception", async () => {
    const fixture = await start("bun", { ...pem, bun: { http3: true } });
    const waiting = fetch(`${fixture.server.url}wait`, HTTP_3);
    await fixture.arrived("/wait");
    const stopped = fixture.server.shutdown({ idleGrace: 5_000 });
    assertEquals(await http3(fixture.server), "hello");
    assertEquals(await http3OfAnotherProcess(fixture.server), "hello");
    fixture.open();
    assertEquals(await (await waiting).text(), "waited");
    await stopped;
    assertEquals(await http3(fixture.server), "refused");
  });
}

test(`[${runtime}] docs/options.md lists as options in 'bun' those that have a proof`, () => {
  const page = readFileSync(new URL("../../docs/options.md", import.meta.url), "utf8");
  const [, rows] = /### `Bun\.serve`(.*?)###/s.exec(page)!;
  const names = [...rows!.matchAll(/^\| `(\w+)` +\| .*\bin `bun`/gm)].map(([, name]) => name!);
  assertEquals(names.sort(), Object.keys(proofs).sort());
});
