/** What an adopted server of `Deno.serve` tells of itself, and what becomes of one that fails. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt } from "../../mod.ts";
import type { DenoNativeServer } from "../../src/runtime/deno/adopt.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** A server at an address, whose shutdown ends as given. */
function nativeAt(addr: object, shutdown = async () => {}): DenoNativeServer {
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const native = {
    addr,
    finished,
    shutdown: () => shutdown().finally(resolve),
    ref() {},
    unref() {},
  };
  return native;
}

test("[deno] adopt() has an address and a URL for a server of Deno at a vsock", () => {
  const { addr, url } = adopt(nativeAt({ transport: "vsock", cid: 3, port: 80 }));
  assertEquals(addr, { transport: "unix", path: "vsock:3:80" });
  assertEquals(url, "http+unix://vsock%3A3%3A80/");
});

test("[deno] shutdown() reports that the shutdown of an adopted server of Deno failed, and ends", async () => {
  const { error: write } = console;
  const reports: unknown[] = [];
  console.error = (report: unknown) => void reports.push(report);
  try {
    const failure = new Error("failed on purpose");
    const addr = { transport: "tcp", hostname: "127.0.0.1", port: 80 };
    const server = adopt(nativeAt(addr, () => Promise.reject(failure)));
    assertEquals((await deadline(server.shutdown(), SOON)).reason, "drained");
    assertEquals(reports.filter((report) => report === failure), [failure]);
  } finally {
    console.error = write;
  }
});

if (runtime === "deno") {
  test("[deno] adopt() does not know in its URL that a server of Deno has TLS", async () => {
    // The cast: the types of other runtimes do not know it.
    const { Deno } = globalThis as unknown as {
      Deno: { serve(options: object, handler: () => Response): DenoNativeServer };
    };
    const options = { port: 0, hostname: "127.0.0.1", onListen() {}, ...pem };
    const server = adopt(Deno.serve(options, () => new Response("hello")));
    assertEquals(new URL(server.url).protocol, "http:");
    await server.shutdown();
  });
}
