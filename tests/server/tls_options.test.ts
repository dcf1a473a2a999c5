/** The options of TLS: server names, client certificates, versions, ALPN and passphrases. */
import { after, test } from "node:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import { Buffer } from "node:buffer";
import type tls from "node:tls";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import {
  type Engine,
  type PeerCertificate,
  serve,
  type ServeOptions,
  type Server,
  serveTcp,
  type TcpOptions,
} from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { commandOf } from "../../support/runtimes.ts";
import {
  authority,
  client,
  first,
  get,
  named,
  pair,
  pemFile,
  second,
  see,
  stranger,
  wildcard,
} from "../support/certificates.ts";
import { engines, hasKernelHelp, runtime, start } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;

const local = { port: 0, hostname: "127.0.0.1" } as const;

const certificates = [
  { serverName: "API.example.com", ...named },
  { serverName: "*.example.org", ...wildcard },
];

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

/** The certificates of the clients, as the handlers have seen them. */
const peers: (PeerCertificate | undefined)[] = [];

/** The body is the name of the client, and whether it is authorized. */
async function http(options: ServeOptions): Promise<Server> {
  const server = await serve((_request, { peerCertificate }) => {
    peers.push(peerCertificate);
    return new Response(
      peerCertificate ? `${peerCertificate.subject.CN} ${peerCertificate.authorized}` : "nobody",
    );
  }, { ...local, ...first, ...options });
  open.add(server);
  return server;
}

/** The same for a protocol of one's own, whose connection is the answer. */
async function tcp(options: TcpOptions): Promise<Server> {
  const server = await serveTcp(async ({ readable, writable, peerCertificate, alpnProtocol }) => {
    for await (const _ of readable) break;
    const who = peerCertificate
      ? `${peerCertificate.subject.CN} ${peerCertificate.authorized}`
      : "nobody";
    await writable.getWriter().write(new TextEncoder().encode(`${who} ${alpnProtocol}`));
  }, { ...local, ...first, ...options });
  open.add(server);
  return server;
}

async function ask(server: Server, options: tls.ConnectionOptions = {}): Promise<string> {
  const conn = await connect(server.addr, { tls: options });
  conn.write("hello");
  await conn.end();
  return conn.received;
}

/** Resolves when a server refuses a client, in the handshake or, with TLS 1.3, behind it. */
async function refuses(server: Server, options: tls.ConnectionOptions): Promise<void> {
  let conn: RawClient;
  try {
    conn = await connect(server.addr, { tls: options });
  } catch {
    return;
  }
  // The end may come before the client has written anything.
  conn.socket.on("error", () => {});
  conn.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  await deadline(conn.closed, SOON);
  assertEquals(conn.received, "");
}

/** Each engine that can be asked for an option, and what `auto` chooses for the option. */
function support(able: readonly Engine[]): { able: Engine[]; unable: Engine[]; auto: Engine } {
  return {
    able: engines.filter((engine) => able.includes(engine)),
    unable: engines.filter((engine) => !able.includes(engine)),
    auto: engines.find((engine) => able.includes(engine))!,
  };
}

const forNames = support(hasKernelHelp ? ["node", "deno", "bun"] : ["node", "bun"]);
const forClients = support(["node"]);
const forVersions = support(["node", "bun"]);

for (const engine of forNames.able) {
  test(`[${runtime}, ${engine}] serve() presents the certificate of the server name`, async () => {
    const { addr } = await http({ engine, certificates });
    const nameFor = async (servername?: string) => (await see(addr, { servername })).name;
    assertEquals(await nameFor(), "first");
    assertEquals(await nameFor("localhost"), "first");
    assertEquals(await nameFor("api.example.com"), "named");
    assertEquals(await nameFor("other.example.com"), "first");
    assertEquals(await nameFor("a.example.org"), "wildcard");
    assertEquals(await nameFor("a.b.example.org"), "first");
    assertEquals(await nameFor("example.org"), "first");
    const { alpn } = await see(addr, { servername: "api.example.com", ALPNProtocols: ["h2"] });
    assertEquals(alpn, "h2");
    assertEquals(await get(addr, "/", { servername: "a.example.org" }), "nobody");
  });
}

for (const engine of forVersions.able) {
  test(`[${runtime}, ${engine}] serve() speaks no version below minVersion`, async () => {
    const { addr } = await http({ engine, minVersion: "TLSv1.3" });
    assertEquals((await see(addr)).protocol, "TLSv1.3");
    await assertRejects(() => see(addr, { maxVersion: "TLSv1.2" }), Error);
    assertEquals(await get(addr, "/"), "nobody");
  });
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} serve() speaks TLS 1.2 unless told otherwise`, async () => {
    const { addr } = await http({ engine, minVersion: "TLSv1.2" });
    assertEquals((await see(addr, { maxVersion: "TLSv1.2" })).protocol, "TLSv1.2");
    assertEquals((await see(addr)).protocol, "TLSv1.3");
  });

  test(`${on} serve() decrypts a key with its passphrase, and takes PEM as bytes`, async () => {
    for (const file of ["first.encrypted.key", "first.traditional.key"]) {
      const server = await http({ engine, key: Buffer.from(pemFile(file)), passphrase: "secret" });
      assertEquals((await see(server.addr)).name, "first");
    }
  });

  if (engine === "deno-serve") continue;

  test(`${on} serve() without "h2" speaks HTTP/1 alone`, async () => {
    const { addr } = await http({ engine, alpnProtocols: ["http/1.1"] });
    const { alpn } = await see(addr, { ALPNProtocols: ["h2", "http/1.1"] });
    // Without HTTP/2, Bun does not answer ALPN.
    assertEquals(alpn, engine === "bun" ? undefined : "http/1.1");
    assertEquals(await get(addr, "/", { ALPNProtocols: ["h2", "http/1.1"] }), "nobody");
    assertEquals(await get(addr, "/"), "nobody");
  });

  test(`${on} shutdown() without HTTP/2 closes idle connections, and answers active ones`, async () => {
    const fixture = await start(engine, { ...first, alpnProtocols: ["http/1.1"] });
    const { addr } = fixture.server;
    const [idle, active] = [await connect(addr, { tls: {} }), await connect(addr, { tls: {} })];
    idle.write(request("/hello"));
    await idle.response();
    active.write(request("/wait"));
    await fixture.arrived("/wait");
    await fixture.server.setCertificate(second);
    assertEquals((await see(addr)).name, "second");
    const done = fixture.server.shutdown();
    await deadline(idle.closed, SOON);
    fixture.open();
    const { body, headers } = await active.response();
    assertEquals([body, headers["connection"]?.toLowerCase()], ["waited", "close"]);
    await deadline(done, SOON);
  });

  test(`${on} serve() with "h2" alone refuses a client that offers only HTTP/1`, async () => {
    const server = await http({ engine, alpnProtocols: ["h2"] });
    const { alpn } = await see(server.addr, { ALPNProtocols: ["h2", "http/1.1"] });
    assertEquals(alpn, "h2");
    await assertRejects(() => see(server.addr, { ALPNProtocols: ["http/1.1"] }), Error);
    assertEquals(await overHttp2(server, {}), "nobody");
  });
}

/** The body of a response over HTTP/2. */
function overHttp2(server: Server, options: http2.SecureClientSessionOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(server.url, { rejectUnauthorized: false, ...options });
    session.on("error", reject);
    const stream = session.request({ ":path": "/" });
    let body = "";
    stream.on("data", (chunk) => body += chunk);
    stream.on("end", () => {
      session.close();
      resolve(body);
    });
    stream.on("error", reject);
  });
}

test(`[${runtime}, node] serve() shows handlers the certificate of the client`, async () => {
  const engine = "node";
  const server = await http({ engine, ca: authority, requestCert: true });
  assertEquals(await get(server.addr, "/", client), "client true");
  const peer = peers.at(-1);
  assert(peer !== undefined);
  assertEquals({ ...peer.subject }, { O: "Example, Inc", OU: ["a", "b"], CN: "client" });
  assertEquals({ ...peer.issuer }, { CN: "authority" });
  assertEquals(peer.subjectAltName, "DNS:client, URI:spiffe://example/client");
  assert(/^[0-9A-F]{40}$/.test(peer.serialNumber), peer.serialNumber);
  assert(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/.test(peer.fingerprint256), peer.fingerprint256);
  assert(peer.validFrom.getTime() < Date.now());
  assertEquals(peer.validTo.getUTCFullYear(), 2126);
  const pem = `-----BEGIN CERTIFICATE-----\n${
    Buffer.from(peer.raw).toString("base64").replace(/.{64}/g, "$&\n")
  }\n-----END CERTIFICATE-----\n`;
  assertEquals(pem, client.cert);
  assertEquals(await overHttp2(server, client), "client true");
});

test(`[${runtime}, node] serve() reads the certificate of a client once for its connection`, async () => {
  const server = await http({ engine: "node", ca: authority, requestCert: true });
  const conn = await connect(server.addr, { tls: client });
  for (let i = 0; i < 2; i++) {
    conn.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assertEquals((await conn.response()).body, "client true");
  }
  assert(peers.at(-1) === peers.at(-2));
  conn.socket.destroy();
});

test(`[${runtime}, node] serve() refuses clients without a certificate of an authority`, async () => {
  const engine = "node";
  for (const options of [{}, { certificates }, { alpnProtocols: ["http/1.1"] as const }]) {
    const server = await http({ engine, ca: [authority], requestCert: true, ...options });
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      for (const servername of ["localhost", "api.example.com"]) {
        const asked = { maxVersion, servername };
        await refuses(server, asked);
        await refuses(server, { ...asked, ...stranger });
        assertEquals(await get(server.addr, "/", { ...asked, ...client }), "client true");
      }
    }
  }
});

test(`[${runtime}, node] serve() leaves the decision to handlers without rejectUnauthorized`, async () => {
  const server = await http({
    engine: "node",
    ca: authority,
    requestCert: true,
    rejectUnauthorized: false,
  });
  assertEquals(await get(server.addr, "/", client), "client true");
  assertEquals(await get(server.addr, "/", stranger), "stranger false");
  assertEquals(await get(server.addr, "/"), "nobody");
});

test(`[${runtime}, node] serve() judges the client of a resumed session as before`, async () => {
  const engine = "node";
  const asks = { engine, ca: authority, requestCert: true, certificates } as const;
  const servers = [
    await http({ ...asks, rejectUnauthorized: false }),
    await http(asks),
    await http({ engine }),
  ];
  const ports = servers.map(({ addr }) => addr.transport === "tcp" ? String(addr.port) : "");
  const file = new URL("../programs/resuming_client.ts", import.meta.url);
  const [program, ...args] = commandOf("node", file);
  const child = spawn(program, [...args, ...ports]);
  let output = "";
  child.stdout.on("data", (text) => output += text);
  child.stderr.on("data", (text) => output += text);
  await deadline(once(child, "close"), SOON);
  assertEquals(output.trim().split("\n"), [
    ...["localhost", "api.example.com"].flatMap((name) => [
      `${name}, TLSv1.2: client true, resumed: client true`,
      `${name}, TLSv1.2: stranger false, resumed: stranger false`,
      `${name}, TLSv1.3: client true, resumed: client true`,
      `${name}, TLSv1.3: stranger false, resumed: stranger false`,
    ]),
    "elsewhere, TLSv1.2: nobody, nobody",
    "elsewhere, TLSv1.2: refused, refused",
    "elsewhere, TLSv1.3: nobody, nobody",
    "elsewhere, TLSv1.3: refused, refused",
  ]);
  // The servers go on.
  const bodies = await Promise.all(servers.map(({ addr }) => get(addr, "/", client)));
  assertEquals(bodies, ["client true", "client true", "nobody"]);
});

for (const engine of forClients.unable) {
  test(`[${runtime}, ${engine}] serve() refuses requestCert by name`, async () => {
    const error = await assertRejects(
      () => http({ engine, ca: authority, requestCert: true }),
      TypeError,
    );
    assertStringIncludes(error.message, "'requestCert' must be absent");
    assertStringIncludes(error.message, `"${engine}"`);
  });
}

for (const engine of forVersions.unable) {
  test(`[${runtime}, ${engine}] serve() refuses minVersion by name`, async () => {
    const error = await assertRejects(() => http({ engine, minVersion: "TLSv1.3" }), TypeError);
    assertStringIncludes(error.message, "'minVersion' must be");
  });
}

for (const engine of forNames.unable) {
  test(`[${runtime}, ${engine}] serve() refuses certificates by name`, async () => {
    const error = await assertRejects(() => http({ engine, certificates }), TypeError);
    assertStringIncludes(error.message, "'certificates' must be absent");
  });
}

if (runtime === "deno") {
  test("[deno, deno-serve] serve() refuses alpnProtocols by name", async () => {
    const error = await assertRejects(
      () => http({ engine: "deno-serve", alpnProtocols: ["h2"] }),
      TypeError,
    );
    assertStringIncludes(error.message, "'alpnProtocols' must have both protocols");
  });
}

test(`[${runtime}] serve() chooses the fastest engine that has the options of TLS`, async () => {
  const choices: [ServeOptions, Engine][] = [
    [{}, engines[0]!],
    [{ alpnProtocols: ["http/1.1"] }, engines[0]!],
    [{ certificates }, forNames.auto],
    [{ minVersion: "TLSv1.3" }, forVersions.auto],
    [{ ca: authority, requestCert: true }, forClients.auto],
  ];
  for (const [options, engine] of choices) assertEquals((await http(options)).engine, engine);
});

test(`[${runtime}] serveTcp() speaks TLS, with server names, client certificates and ALPN`, async () => {
  const server = await tcp({ certificates, alpnProtocols: ["line", "other"] });
  assert(server.url.startsWith("tls://127.0.0.1:"), server.url);
  assertEquals(await ask(server), "nobody undefined");
  assertEquals(await ask(server, { ALPNProtocols: ["other"] }), "nobody other");
  assertEquals((await see(server.addr, { servername: "api.example.com" })).name, "named");
  assertEquals((await see(server.addr, { servername: "a.example.org" })).name, "wildcard");
  await assertRejects(() => see(server.addr, { ALPNProtocols: ["unknown"] }), Error);
  const strict = await tcp({ ca: authority, requestCert: true, minVersion: "TLSv1.3" });
  assertEquals(await ask(strict, client), "client true undefined");
  await refuses(strict, {});
  await refuses(strict, stranger);
  await assertRejects(() => see(strict.addr, { maxVersion: "TLSv1.2", ...client }), Error);
});

test(`[${runtime}] serve() takes a file with a mark at its start, and with the certificate and the key in any order`, async () => {
  const file = `\ufeff${first.key}${first.cert}`;
  const server = await http({ cert: file, key: file });
  assertEquals((await see(server.addr)).name, "first");
});

/** Options as a caller without a type checker may pass them, and what the message must say. */
const refused: [object, string[]][] = [
  [{ cert: first.cert }, ["'key'", "PEM"]],
  [{ key: first.key }, ["'cert'", "PEM"]],
  [{ cert: 1, key: first.key }, ["'cert'", "a string or a Uint8Array"]],
  [{ cert: "", key: first.key }, ["'cert'", "not empty"]],
  [{ ...first, passphrase: "" }, ["'passphrase'", "not empty"]],
  [{ ...first, key: second.key }, ["'key'", "the private key of 'cert'"]],
  [{ ...first, cert: "no certificate" }, ["'cert'", "a certificate in PEM"]],
  [{ ...first, key: pemFile("first.encrypted.key") }, ["'passphrase'", "must be given"]],
  [
    { ...first, key: pemFile("first.encrypted.key"), passphrase: "wrong" },
    ["'passphrase'", "does not decrypt it"],
  ],
  [
    { ...first, key: pemFile("first.traditional.key"), passphrase: "wrong" },
    ["'passphrase'", "does not decrypt it"],
  ],
  [pair("weak"), ["'key'", "2048 bits or more", "has 1024 bits"]],
  [{ ...first, certificates: [{ serverName: "a.b", ...pair("weak") }] }, [
    "'certificates[0].key'",
    "has 1024 bits",
  ]],
  [{ passphrase: "secret" }, ["'passphrase'", "given together with 'cert' and 'key'"]],
  [{ requestCert: true }, ["'requestCert'", "given together with 'cert' and 'key'"]],
  [{ minVersion: "TLSv1.3" }, ["'minVersion'", "given together with 'cert' and 'key'"]],
  [{ ...first, minVersion: "TLSv1.1" }, ["'minVersion'", "TLSv1.2, TLSv1.3", '"TLSv1.1"']],
  [{ ...first, requestCert: 1 }, ["'requestCert'", "a boolean"]],
  [{ ...first, requestCert: true }, ["'ca'", "given together with 'requestCert'"]],
  [{ ...first, ca: authority }, ["'ca'", "absent where 'requestCert' is not true"]],
  [{ ...first, requestCert: true, ca: [] }, ["'ca'", "one certificate or more"]],
  [{ ...first, requestCert: true, ca: "none" }, ["'ca'", "certificates in PEM"]],
  [{ ...first, rejectUnauthorized: false }, ["'rejectUnauthorized'", "'requestCert'"]],
  [{ ...first, alpnProtocols: [] }, ["'alpnProtocols'", "an array of different"]],
  [{ ...first, alpnProtocols: ["h2", "h2"] }, ["'alpnProtocols'", "an array of different"]],
  [{ ...first, certificates: named }, ["'certificates'", "an array"]],
  [{ ...first, certificates: [named] }, ["'certificates[0].serverName'", "a DNS name"]],
  [
    { ...first, certificates: [{ serverName: "*", ...named }] },
    ["'certificates[0].serverName'", '"*"'],
  ],
  [
    {
      ...first,
      certificates: [{ serverName: "a.b", ...named }, { serverName: "A.b", ...wildcard }],
    },
    ["'certificates[1].serverName'", "different from the server names", '"A.b"'],
  ],
  [{ ...first, certificates: [{ serverName: "a.b" }] }, ["'certificates[0].cert'", "PEM"]],
  [
    { ...first, certificates: [{ serverName: "a.b", ...named, key: first.key }] },
    ["'certificates[0].key'", "the private key of 'cert'"],
  ],
];

for (const [index, [options, parts]] of refused.entries()) {
  test(`[${runtime}] serve() and serveTcp() refuse ${parts.join(" ")} (${index})`, async () => {
    const starts = [
      () => serve(() => new Response("hello"), { port: 0, ...options }),
      () => serveTcp(() => {}, { port: 0, ...options }),
    ];
    for (const start of starts) {
      const error = await assertRejects(start, TypeError);
      for (const part of parts) assertStringIncludes(error.message, part);
      for (const secret of ["secret", "wrong", "PRIVATE KEY"]) {
        assert(!error.message.includes(secret), error.message);
      }
    }
  });
}

test(`[${runtime}] serve() refuses a protocol that is none of HTTP`, async () => {
  // @ts-expect-error: what a caller without a type checker may pass.
  const start = () => serve(() => new Response(""), { ...first, alpnProtocols: ["h3"] });
  assertStringIncludes((await assertRejects(start, TypeError)).message, '"h3"');
});
