/** Values that a runtime would replace, or reject with the first client, are refused at the call on every runtime. */
import { test } from "node:test";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Engine, serve, type ServeOptions, serveTcp } from "../../mod.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";
import { run } from "../support/process.ts";

const handler = () => new Response("hello");

/** The options, which are wrong on purpose, and what the message says. */
const refused: [options: object, message: string][] = [
  [
    { node: { keepAliveTimeout: "200" } },
    "'node.keepAliveTimeout' must be a number of milliseconds",
  ],
  [
    { node: { keepAliveTimeout: null } },
    "'node.keepAliveTimeout' must be a number of milliseconds",
  ],
  [{ node: { keepAliveTimeout: NaN } }, "'node.keepAliveTimeout' must be from 0 to 2147483647 ms"],
  [{ node: { headersTimeout: "200" } }, "'node.headersTimeout' must be a number of milliseconds"],
  [{ node: { headersTimeout: NaN } }, "current value is NaN"],
  [{ node: { keepAliveTimeoutBuffer: -70_000 } }, "current value is -70000"],
  [{ node: { keepAliveTimeoutBuffer: NaN } }, "'node.keepAliveTimeoutBuffer' must be from 0"],
  [{ node: { requestTimeout: -1 } }, "'node.requestTimeout' must be from 0"],
  [
    { node: { headersTimeout: 5_000, requestTimeout: 1_000 } },
    "'node.headersTimeout' must be at most 'node.requestTimeout', 1000 ms: current value is 5000",
  ],
  [{ node: { maxHeaderSize: "x" } }, "'node.maxHeaderSize' must be a number"],
  [{ node: { insecureHTTPParser: 1 } }, "'node.insecureHTTPParser' must be a boolean"],
  [
    { node: { settings: { maxConcurrentStreams: -1 } } },
    "'node.settings.maxConcurrentStreams' must be an integer from 0 to 4294967295: current value is -1",
  ],
  [
    { node: { settings: { maxFrameSize: 1 } } },
    "'node.settings.maxFrameSize' must be an integer from",
  ],
  [{ node: { settings: { enablePush: 1 } } }, "'node.settings.enablePush' must be a boolean"],
  [{ node: { settings: 1 } }, "'node.settings' must be an object"],
  [
    { ...pem, minVersion: "TLSv1.3", node: { maxVersion: "TLSv1.2" } },
    "'node.maxVersion' must be at least 'minVersion', TLSv1.3: current value is \"TLSv1.2\"",
  ],
  [
    { ...pem, minVersion: "TLSv1.3", node: { minVersion: "TLSv1.2" } },
    "'node.minVersion' must be absent where 'minVersion' is given",
  ],
  [{ node: { unknownProtocolTimeout: 1 } }, "'node.unknownProtocolTimeout' is not an option"],
  [{ bun: { routes: 1 } }, "'bun.routes' must be an object"],
  [{ websocket: 1 }, "'websocket' must be an object"],
  [
    { ...pem, certificates: [{ serverName: "127.0.0.1", ...pem }] },
    "'certificates[0].serverName' must be a DNS name, since clients that connect to an IP address send no server name",
  ],
  [
    { ...pem, cert: "/etc/tls.crt" },
    "current value looks like a path: give the content of the file",
  ],
  [{ ...pem, key: "./tls.key" }, "current value looks like a path: give the content of the file"],
];

for (const [options, message] of refused) {
  test(`[${runtime}] serve() says: ${message}`, async () => {
    // The cast: the options are wrong on purpose.
    const call = () => serve(handler, { port: 0, ...options } as ServeOptions);
    const error = await assertRejects(call, Error);
    assertStringIncludes(error.message, `Cannot serve as '`);
    assertStringIncludes(error.message, message);
  });
}

test(`[${runtime}] serve() says that the handler comes first`, async () => {
  // The casts: the arguments are wrong on purpose.
  const swapped = serve as unknown as (...args: unknown[]) => Promise<unknown>;
  const swappedTcp = serveTcp as unknown as typeof swapped;
  for (const args of [[{ fetch: handler, port: 0 }], [{ port: 0 }, handler], []]) {
    await assertRejects(
      () => swapped(...args),
      TypeError,
      "the handler comes first, as in serve(app.fetch, { port })",
    );
  }
  await assertRejects(
    () => swappedTcp({ port: 0 }, handler),
    TypeError,
    "the handler comes first, as in serveTcp(handler, { port })",
  );
});

test(`[${runtime}] serve() warns once of a time limit that may be meant in seconds`, async () => {
  // In a process of its own: the warning comes once in a process.
  const program = run("short_times.ts", []);
  assertEquals(await program.exit, 0, program.output);
  const warning = "'idleTimeout' is in milliseconds, and 30 ms is short: for 30 s give 30000";
  assertEquals(program.output, `${warning}\n`);
});

for (const engine of engines) {
  test(`[${runtime}, ${engine}] serve() takes an IPv6 address in brackets`, async () => {
    const { server } = await start(engine as Engine, { hostname: "[::1]" });
    assertEquals("hostname" in server.addr && server.addr.hostname, "::1");
    assertEquals(await (await fetch(`${server.url}hello`)).text(), "hello");
    await server.close();
  });
}
