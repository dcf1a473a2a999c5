/** A server that its own `signal` closes is reported as closed, with what was cut off. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { graceful, serve } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

for (const engine of engines) {
  test(`[${runtime}, ${engine}] graceful() reports the requests that the 'signal' of a server cut off`, async () => {
    const stop = new AbortController();
    const began = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const gate = Promise.withResolvers<void>();
    const server = await serve(async ({ url }) => {
      began[url.endsWith("/0") ? 0 : 1]!.resolve();
      await gate.promise;
      return new Response("late");
    }, { port: 0, hostname: "127.0.0.1", engine, signal: stop.signal });
    const ended = graceful(server, { log: false, exit: false });
    const clients = await Promise.all([0, 1].map(() => connect(server.addr)));
    for (const [i, client] of clients.entries()) client.write(request(`/${i}`));
    await deadline(Promise.all(began.map(({ promise }) => promise)), SOON);
    stop.abort();
    const { cause, servers } = await deadline(ended, SOON);
    gate.resolve();
    assertEquals(
      [cause, ...servers.map(({ reason, forced, drained }) => ({ reason, forced, drained }))],
      ["finished", { reason: "closed", forced: 2, drained: 0 }],
    );
  });
}
