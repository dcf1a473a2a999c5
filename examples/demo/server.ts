/**
 * A small service that loses nothing when it is told to stop: `node server.ts`,
 * `deno run --allow-net server.ts` or `bun server.ts`, and Ctrl-C.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { graceful, type Handler, serve } from "../../mod.ts";

const routes: Record<string, Handler> = {
  "/hello": () => new Response("hello"),
  "/upload": async (request) => new Response(`${(await request.arrayBuffer()).byteLength} B`),
  "/slow": async () => {
    await sleep(1_200);
    return new Response("done");
  },
  "/large": () => new Response(new Uint8Array(24 * 1024 * 1024)),
  "/stream": () => new Response(lines((count) => count < 15)),
  // Without a look at `draining` it would go on until the deadline.
  "/endless": (_request, { draining }) => new Response(lines(() => !draining.aborted)),
  "/stuck": () => new Promise(() => {}),
};

/** A line, and one more every 100 ms for as long as `more` says so. */
function lines(more: (count: number) => boolean): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let count = 0;
  return new ReadableStream({
    async pull(controller) {
      if (count > 0) await sleep(100);
      controller.enqueue(encoder.encode(`line ${++count}\n`));
      if (!more(count)) controller.close();
    },
  });
}

const server = await serve((request, info) => {
  const route = routes[new URL(request.url).pathname];
  return route?.(request, info) ?? new Response("Not Found", { status: 404 });
}, { hostname: "127.0.0.1", port: 0 });
console.log(server.url);
// Idle connections close at once, as for a Ctrl-C on a terminal: somebody is looking on.
await graceful(server, { timeout: 3_000, idleGrace: 0 });
