/**
 * Options of TLS and HTTP/2 in the block `node` reach the server, except where the runtime's own modules do nothing with
 * them: a server with the option and one without it are told apart from outside.
 */
import { test } from "node:test";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { assertEquals } from "@std/assert";
import type { NodeOptions, Server } from "../../mod.ts";
import { connect } from "../../support/client.ts";
import { AES128, AES256, chosenBy } from "../support/client_hello.ts";
import { pem, runtime, start } from "../support/fixture.ts";

/** In ms. The time of Node is longer, so that a server that waits this long does not have the option. */
const PATIENCE = 1_500;
const SHORT = 100;

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;

interface Proof {
  readonly options: NodeOptions;
  readonly observe: (server: Server) => unknown;
  readonly with: unknown;
  readonly without: unknown;
}

const versionFor13 = async ({ addr }: Server) => {
  const chosen = await chosenBy(addr, { speaks13: true });
  return chosen === "refused" ? chosen : chosen.version;
};
const cipher = (...ciphers: number[]) => async ({ addr }: Server) => {
  const chosen = await chosenBy(addr, { ciphers });
  return chosen === "refused" ? chosen : chosen.cipher;
};

/** A server that does not start has looked at the option. */
const REFUSED = "does not start";

const proofs: Record<string, Proof> = {
  ciphers: {
    options: { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" },
    observe: cipher(AES128),
    with: "refused",
    without: AES128,
  },
  crl: {
    options: { crl: "no list of revoked certificates" },
    observe: () => "starts",
    with: REFUSED,
    without: "starts",
  },
  ecdhCurve: {
    options: { ecdhCurve: "P-384" },
    observe: cipher(AES128),
    with: "refused",
    without: AES128,
  },
  handshakeTimeout: {
    options: { handshakeTimeout: SHORT },
    observe: async ({ addr }) => {
      const { closed } = await connect(addr);
      return await Promise.race([closed.then(() => "closed"), sleep(PATIENCE, "waits")]);
    },
    with: "closed",
    without: "waits",
  },
  honorCipherOrder: {
    options: {
      ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
      honorCipherOrder: false,
    },
    observe: cipher(AES128, AES256),
    with: AES128,
    without: AES256,
  },
  maxVersion: {
    options: { maxVersion: "TLSv1.2" },
    observe: versionFor13,
    with: TLS_1_2,
    without: TLS_1_3,
  },
  settings: {
    options: { settings: { maxConcurrentStreams: 7 } },
    observe: async ({ addr }) => {
      const client = await connect(addr, { alpn: "h2" });
      client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\x04\0\0\0\0\0");
      const head = Buffer.from(await client.bytes(9), "latin1");
      const settings = await client.bytes(head.readUIntBE(0, 3));
      client.vanish();
      return settings.includes("\0\x03\0\0\0\x07");
    },
    with: true,
    without: false,
  },
  sigalgs: {
    options: { sigalgs: "ECDSA+SHA384" },
    observe: cipher(AES128),
    with: "refused",
    without: AES128,
  },
};

/** What Deno's own modules do not do, with what is seen instead. docs/options.md has the list. */
const EXCEPTIONS: Record<string, unknown> = runtime === "deno"
  ? { ciphers: AES128, ecdhCurve: AES128, honorCipherOrder: AES128, sigalgs: AES128 }
  : {};

async function seen({ observe }: Proof, node: NodeOptions): Promise<unknown> {
  let server;
  try {
    ({ server } = await start("node", { ...pem, node }));
  } catch {
    return REFUSED;
  }
  try {
    return await observe(server);
  } finally {
    await server.close();
  }
}

for (const [name, proof] of Object.entries(proofs)) {
  const isException = name in EXCEPTIONS;
  const does = isException ? "does nothing on this runtime" : "reaches the server";
  test(`[${runtime}] 'node.${name}' of a server with TLS ${does}`, async () => {
    const expected = isException
      ? [EXCEPTIONS[name], EXCEPTIONS[name]]
      : [proof.with, proof.without];
    const { [name]: _, ...others } = proof.options as Record<string, unknown>;
    // The cast: what is left are options of the block.
    const without = others as NodeOptions;
    assertEquals([await seen(proof, proof.options), await seen(proof, without)], expected);
  });
}

test(`[${runtime}] docs/options.md names what Deno's TLS does not do`, () => {
  const page = readFileSync(new URL("../../docs/options.md", import.meta.url), "utf8");
  const [, names] = /On Deno 2\.9 these do nothing with TLS:(.*?)\./s.exec(page)!;
  const listed = [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name).sort();
  if (runtime === "deno") assertEquals(listed, Object.keys(EXCEPTIONS).sort());
});
