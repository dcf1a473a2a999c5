/**
 * A program whose handlers stop reading uploads that have arrived, on the engine of its argument. It says "survived"
 * unless one of them ends the process, which a runner of tests would keep from it.
 */
import process from "node:process";
import { type Engine, serve } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";

const LIMIT = 10;

const server = await serve(async (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/limited") return new Response(await request.text());
  const { body } = request;
  await Promise.resolve();
  await body?.cancel();
  return new Response("stopped");
}, {
  port: 0,
  hostname: "127.0.0.1",
  maxBodySize: LIMIT,
  // The cast: the test names an engine.
  engine: process.argv[2] as Engine,
});

for (const [path, size] of [["/limited", LIMIT + 1], ["/canceled", LIMIT]] as const) {
  const client = await connect(server.addr);
  client.write(request(`POST ${path}`, `Content-Length: ${size}`) + "x".repeat(size));
  console.log(`${path}: ${(await client.response()).status};`);
  client.socket.end();
}
await server.shutdown();
console.log("survived");
