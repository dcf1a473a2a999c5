/** An option that does not exist is refused at the call, with what to use instead, and nothing opened. */
import { test } from "node:test";
import http from "node:http";
import { assertEquals, assertRejects } from "@std/assert";
import { adopt, graceful, serve, serveTcp } from "../../mod.ts";
import { health } from "../../src/health/mod.ts";
import { listen, Upgrader } from "../../src/upgrade/mod.ts";
import { engines, runtime, start } from "../support/fixture.ts";

const handler = () => new Response("hello");

/** Calls as a caller without a type checker may make them: `options` is any object. */
const calls: Record<string, (options: never) => unknown> = {
  "serve()": (options) => serve(handler, options),
  "serveTcp()": (options) => serveTcp(() => {}, options),
  "listen()": (options) => listen(options),
  "adopt()": (options) => adopt(http.createServer(), options),
  "graceful()": (options) => graceful(http.createServer(), options),
  "health()": (options) => health(options),
  "new Upgrader()": (options) => new Upgrader(options),
};

/** The function, its options, and what the message says. */
const refused: [keyof typeof calls, object, string][] = [
  [
    "serve()",
    { hostName: "::" },
    "Cannot serve as 'hostName' is not an option: did you mean 'hostname'?",
  ],
  ["serve()", { prot: 80 }, "'prot' is not an option: did you mean 'port'?"],
  ["serve()", { prot: undefined }, "'prot' is not an option: did you mean 'port'?"],
  ["serve()", { tls: {} }, "'tls' is not an option: 'cert' and 'key' of serve() turn on TLS"],
  ["serve()", { tls: [{}] }, "turn on TLS, and 'certificates' has those for single server names"],
  ["serve()", { serverName: "a" }, "it belongs in an entry of 'certificates'"],
  ["serve()", { servername: "a" }, "it belongs in an entry of 'certificates'"],
  ["serve()", { maxVersion: "TLSv1.2" }, "it belongs in 'node'"],
  [
    "serve()",
    { sigalgs: "a" },
    "it belongs in 'node', as in { node: { sigalgs: … } }, for the engine",
  ],
  ["serve()", { ciphers: "a" }, "it belongs in 'node'"],
  ["serve()", { crl: "a" }, "it belongs in 'node'"],
  ["serve()", { secureProtocol: "a" }, "it belongs in 'node'"],
  ["serve()", { sessionTimeout: 1 }, "it belongs in 'node'"],
  ["serve()", { handshakeTimeout: 1 }, "it belongs in 'node'"],
  ["serve()", { maxRequestsPerSocket: 1 }, "it is a property of 'server.native'"],
  ["serve()", { SNICallback: 1 }, "use 'certificates'"],
  ["serve()", { drainDelay: 1 }, "it is an option of graceful()"],
  ["serve()", { cleanup: handler }, "it is an option of graceful()"],
  ["serve()", { idleGrace: 1 }, "it is an option of shutdown() and graceful()"],
  ["serve()", { hijacked: "wait" }, "it is an option of shutdown() and graceful()"],
  ["serve()", { onShutdown: handler }, "it is a method of the server"],
  ["serveTcp()", { maxVersion: "TLSv1.2" }, "use adopt() for a server of node:tls with it"],
  ["graceful()", { port: 80 }, "it is an option of serve()"],
  ["serveTcp()", { timeout: 3 }, "it is an option of shutdown() and graceful()"],
  ["serveTcp()", { idleTimeout: 3 }, "it is an option of serve()"],
  ["serveTcp()", { serverName: "a" }, "it belongs in an entry of 'certificates'"],
  ["serve()", { unix: "/tmp/s" }, "'unix' is not an option: did you mean 'path'?"],
  ["serve()", { fetch: handler }, "'fetch' is not an option: the handler is the first argument"],
  ["serve()", { routes: {} }, "it belongs in 'bun', as in { bun: { routes: … } }"],
  [
    "serve()",
    { maxRequestBodySize: 1 },
    "use 'maxBodySize', as every engine has it, or else it belongs in 'bun'",
  ],
  ["serve()", { automaticCompression: true }, "it belongs in 'deno'"],
  ["serve()", { requestTimeout: 1 }, "it belongs in 'node', as in { node: { requestTimeout: … } }"],
  ["serve()", { headersTimeout: 1 }, "use 'headerTimeout', as every engine has it"],
  ["serve()", { keepAliveTimeout: 1 }, "use 'idleTimeout', as every engine has it"],
  ["serve()", { cid: 3 }, "use adopt() for a server on vsock"],
  [
    "serve()",
    { timeout: 3 },
    "'timeout' is not an option: it is an option of shutdown() and graceful()",
  ],
  ["serve()", { "a\nb": 1 }, "'a\\u000ab' is not an option: the options are port, hostname, path"],
  [
    "serve()",
    { bun: { fetch: handler } },
    "'bun.fetch' is not an option: the handler is the first",
  ],
  [
    "serve()",
    { bun: { error: handler } },
    "'bun.error' is not an option: use 'onError' of serve()",
  ],
  ["serve()", { deno: { signal: 1 } }, "'deno.signal' is not an option: use 'signal' of serve()"],
  ["serve()", { node: { ServerResponse: Object } }, "'node.ServerResponse' is not an option"],
  ["serve()", { node: 1 }, "'node' must be an object: current value is 1"],
  ["serveTcp()", { host: "::" }, "'host' is not an option: did you mean 'hostname'?"],
  ["serveTcp()", { onRequest: 1 }, "'onRequest' is not an option: the options are"],
  [
    "listen()",
    { hostnam: "::" },
    "Cannot listen as 'hostnam' is not an option: did you mean 'hostname'?",
  ],
  ["adopt()", { connState: handler }, "Cannot adopt as 'connState' is not an option"],
  ["adopt()", { onconnstate: handler }, "did you mean 'onConnState'?"],
  [
    "graceful()",
    { timeOut: 1 },
    "Cannot call graceful() as 'timeOut' is not an option: did you mean 'timeout'?",
  ],
  ["graceful()", { cleanUp: handler }, "did you mean 'cleanup'?"],
  [
    "graceful()",
    { onShutdown: handler },
    "'onShutdown' is not an option: it is a method of the server",
  ],
  ["health()", { live: "/" }, "Cannot make a health handler as 'live' is not an option"],
  ["health()", { readyPaths: "/" }, "did you mean 'readyPath'?"],
  [
    "health()",
    { readiness: { db: { check: handler, timeOut: 1 } } },
    "with 'readiness.db' as 'timeOut' is not an option: did you mean 'timeout'?",
  ],
  ["new Upgrader()", { readytimeout: 1 }, "Cannot upgrade as 'readytimeout' is not an option"],
];

for (const [name, options, message] of refused) {
  test(`[${runtime}] ${name} refuses ${Object.keys(options)}: ${message}`, async () => {
    // The cast: the options are wrong on purpose.
    await assertRejects(async () => await calls[name]!(options as never), TypeError, message);
  });
}

for (const [name, call] of Object.entries(calls)) {
  test(`[${runtime}] ${name} refuses options that are no object`, async () => {
    for (const options of [null, 9527, "9527", []]) {
      await assertRejects(
        // The cast: the options are wrong on purpose.
        async () => await call(options as never),
        TypeError,
        "as the options must be an object",
      );
    }
  });
}

test(`[${runtime}] shutdown() refuses an unknown option, and starts no drain`, async () => {
  const { server } = await start(engines[0]!);
  await assertRejects(
    // @ts-expect-error: what a caller without a type checker may pass.
    () => server.shutdown({ timeOut: 1 }),
    TypeError,
    "Cannot shut down as 'timeOut' is not an option: did you mean 'timeout'?",
  );
  await assertRejects(
    // @ts-expect-error: what a caller without a type checker may pass.
    () => server.shutdown({ drainDelay: 1 }),
    TypeError,
    "'drainDelay' is not an option: it is an option of graceful()",
  );
  assertEquals(server.state, "serving");
});

test(`[${runtime}] serve() ignores names that are inherited`, async () => {
  const options = Object.create({ unknown: 1 }, {
    port: { value: 0, enumerable: true },
    hostname: { value: "127.0.0.1", enumerable: true },
  });
  const server = await serve(handler, options);
  await server.close();
});

test(`[${runtime}] serve() refuses unknown options before it opens anything`, async () => {
  const { server } = await start(engines[0]!);
  const { addr } = server;
  await server.close();
  // @ts-expect-error: what a caller without a type checker may pass.
  await assertRejects(() => serve(handler, { ...portOf(addr), unknown: 1 }), TypeError);
  await (await start(engines[0]!, portOf(addr))).server.close();
});

function portOf(addr: { transport: string }): { port: number } {
  return "port" in addr && typeof addr.port === "number" ? { port: addr.port } : { port: 0 };
}
