/** Bad input is refused at the call, with the option, the rule and the value, and nothing opened. */
import { test } from "node:test";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { serve, type ServeOptions, type ShutdownOptions } from "../../mod.ts";
import {
  engines,
  hasKernelHelp,
  pem,
  runtime,
  start,
  temporaryFolder,
} from "../support/fixture.ts";

const handler = () => new Response("hello");

/** A hostname with a label that is too long, which no resolver is asked about. */
const UNRESOLVABLE = `${"x".repeat(64)}.invalid`;

/** Options as a caller without a type checker may pass them, and what the message must name. */
const refused: [unknown, typeof TypeError | typeof RangeError, string[]][] = [
  [{ port: 65_536 }, RangeError, ["'port'", "0 to 65535", "65536"]],
  [{ port: -1 }, RangeError, ["'port'", "-1"]],
  [{ port: 80.5 }, RangeError, ["'port'", "80.5"]],
  [{ port: "80" }, TypeError, ["'port'", "a number", '"80"']],
  [{ hostname: 1 }, TypeError, ["'hostname'", "a string", "1"]],
  [{ hostname: "" }, TypeError, ["'hostname'", "not empty"]],
  [{ path: "" }, TypeError, ["'path'", "not empty"]],
  [{ path: "/tmp/x", port: 80 }, TypeError, ["'port'", "'path'", "80"]],
  [{ path: "/tmp/x", hostname: "::1" }, TypeError, ["'hostname'", "'path'"]],
  [{ path: "/tmp/x", reusePort: true }, TypeError, ["'reusePort'", "'path'"]],
  [{ cert: pem.cert }, TypeError, ["'key'", "PEM"]],
  [{ key: pem.key }, TypeError, ["'cert'", "PEM"]],
  [{ backlog: 0 }, RangeError, ["'backlog'", "0"]],
  [{ reusePort: 1 }, TypeError, ["'reusePort'", "a boolean", "1"]],
  [{ signal: {} }, TypeError, ["'signal'", "an AbortSignal"]],
  [{ onListen: 1 }, TypeError, ["'onListen'", "a function"]],
  [{ onError: "log" }, TypeError, ["'onError'", "a function", '"log"']],
  [{ engine: "apache" }, TypeError, ["'engine'", "auto, node, deno, deno-serve, bun", '"apache"']],
];

for (const [options, errorClass, parts] of refused) {
  test(`[${runtime}] serve() refuses ${JSON.stringify(options).slice(0, 60)}`, async () => {
    const error = await assertRejects(() => serve(handler, options as ServeOptions), errorClass);
    for (const part of parts) assertStringIncludes(error.message, part);
  });
}

test(`[${runtime}] serve() refuses a handler that is no function`, async () => {
  // @ts-expect-error: what a caller without a type checker may pass.
  const error = await assertRejects(() => serve({ fetch: handler }, { port: 0 }), TypeError);
  assertStringIncludes(error.message, "'handler' must be a function");
});

test(`[${runtime}] serve() refuses an engine that the runtime does not have`, async () => {
  const engine = runtime === "bun" ? "deno" : "bun";
  const error = await assertRejects(() => serve(handler, { port: 0, engine }), TypeError);
  for (const name of ["'engine'", "auto", ...engines, `"${engine}"`]) {
    assertStringIncludes(error.message, name);
  }
});

type Refused = [unknown, typeof TypeError | typeof RangeError, string[]];

const refusedShutdowns: Refused[] = [
  [{ timeout: -1 }, RangeError, ["'timeout'", "from 0", "-1"]],
  [{ timeout: NaN }, RangeError, ["'timeout'", "NaN"]],
  [{ timeout: 2 ** 31 }, RangeError, ["'timeout'", "2147483648"]],
  [{ timeout: "15s" }, TypeError, ["'timeout'", "milliseconds", '"15s"']],
  [{ pollInterval: 0 }, RangeError, ["'pollInterval'", "from 1", "0"]],
  [{ idleGrace: -5 }, RangeError, ["'idleGrace'", "-5"]],
  [{ signal: 1 }, TypeError, ["'signal'", "an AbortSignal"]],
  [{ hijacked: "close" }, TypeError, ["'hijacked'", '"wait" or "ignore"', '"close"']],
  [{ hijacked: null }, TypeError, ["'hijacked'", "null"]],
  [{ hijacked: { code: 1012 } }, TypeError, [
    "'hijacked'",
    "close, reason and within",
    "{ code }",
  ]],
  [{ hijacked: { close: "1012" } }, TypeError, ["'hijacked.close'", "a number", '"1012"']],
  ...[999, 1002, 1004, 1005, 1006, 1015, 2999, 5000, 1000.5, NaN].map((close): Refused => [
    { hijacked: { close } },
    RangeError,
    ["'hijacked.close'", "1000, 1001, 1003, from 1007 to 1014, or from 3000 to 4999", `${close}`],
  ]),
  [{ hijacked: { reason: 1 } }, TypeError, ["'hijacked.reason'", "a string", "1"]],
  [{ hijacked: { reason: "é".repeat(62) } }, RangeError, [
    "'hijacked.reason'",
    "at most 123 bytes of UTF-8",
    "124",
  ]],
  [{ hijacked: { within: -1 } }, RangeError, ["'hijacked.within'", "from 0", "-1"]],
  [{ hijacked: { within: "1s" } }, TypeError, ["'hijacked.within'", "milliseconds", '"1s"']],
];

test(`[${runtime}] shutdown() refuses bad options, and starts no drain`, async () => {
  const { server } = await start(engines[0]!);
  for (const [options, errorClass, parts] of refusedShutdowns) {
    const error = await assertRejects(
      () => server.shutdown(options as ShutdownOptions),
      errorClass,
    );
    for (const part of parts) assertStringIncludes(error.message, part);
  }
  assertEquals(server.state, "serving");
});

test(`[${runtime}] shutdown() takes every close code that a server may send`, async () => {
  const codes = [1000, 1001, 1003, 1007, 1014, 3000, 4999];
  for (const close of codes) {
    const { server } = await start(engines[0]!);
    const hijacked = { close, reason: "é".repeat(61), within: 0 };
    assertEquals((await server.shutdown({ hijacked })).reason, "drained");
  }
});

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} serve() refuses a port in use, and takes it once it is free`, async () => {
    const { server } = await start(engine);
    assert(server.addr.transport === "tcp");
    const { port } = server.addr;
    const error = await assertRejects(() => start(engine, { port }), Error, `port ${port}`);
    assertStringIncludes(error.message, '"127.0.0.1": the address is already in use');
    assertEquals((error as { code?: string }).code, "EADDRINUSE");
    await server.shutdown();
    const again = await start(engine, { port });
    assertEquals(again.server.addr, server.addr);
  });

  for (const handoff of [undefined, "auto"] as const) {
    test(`[${runtime}, ${engine}, handoff ${handoff}] serve() says why a path or a hostname cannot be listened on`, async () => {
      const folder = temporaryFolder();
      const file = join(folder, "file");
      writeFileSync(file, "");
      const refusals: [ServeOptions, code: string, reason: string][] = [
        [{ path: join(folder, "none", "socket") }, "ENOENT", "the folder does not exist"],
        [{ path: file }, "EADDRINUSE", "a file is at that path; if no process listens on it,"],
        [{ hostname: UNRESOLVABLE, port: 0 }, "ENOTFOUND", "the hostname does not resolve"],
      ];
      for (const [options, code, reason] of refusals) {
        const error = await assertRejects(
          () => start(engine, { ...options, handoff }),
          Error,
          reason,
        );
        assertEquals((error as { code?: string }).code, code);
        // What the console writes of the cause. Bun gives a socket that is none as the cause of a wrong hostname.
        assertEquals(String(error.cause).includes("ENOTSOCK"), false);
      }
    });
  }

  test(`${on} serve() refuses a certificate that is none`, async () => {
    const { onceFree, port } = await freePort();
    const refusals: [ServeOptions, string][] = [
      [{ cert: "not PEM", key: pem.key }, "'cert' must be a certificate in PEM"],
      [{ cert: pem.cert, key: "not PEM" }, "'key' must be a private key in PEM"],
      [{ cert: pem.cert, key: otherKey() }, "'key' must be the private key of 'cert'"],
    ];
    for (const [options, message] of refusals) {
      await assertRejects(() => start(engine, { port, ...options }), TypeError, message);
    }
    await onceFree();
  });

  test(`${on} serve() takes backlog, reusePort and IPv6`, async () => {
    const reusePort = runtime !== "deno" || engine === "node";
    const backlog = engine === "bun" && !hasKernelHelp ? undefined : 16;
    const { server } = await start(engine, { hostname: "::1", backlog, reusePort });
    assert(server.addr.transport === "tcp");
    assertEquals(server.addr.hostname, "::1");
    assertEquals(server.url, `http://[::1]:${server.addr.port}/`);
    assertEquals(await (await fetch(`${server.url}hello`)).text(), "hello");
  });

  test(`${on} serve() takes websocket on Bun alone`, async () => {
    if (engine === "bun") return;
    const options = { port: 0, engine, websocket: { message() {} } };
    const error = await assertRejects(() => serve(handler, options), TypeError);
    assertStringIncludes(error.message, "'websocket'");
  });
}

function otherKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/** A port that nothing listens on, and a check that nothing does. */
async function freePort(): Promise<{ port: number; onceFree: () => Promise<void> }> {
  const { server } = await start(engines[0]!);
  assert(server.addr.transport === "tcp");
  const { port } = server.addr;
  await server.close();
  return {
    port,
    onceFree: async () => {
      const { server } = await start(engines[0]!, { port });
      await server.close();
    },
  };
}
