/** Serves one request of its own, shuts down, and has nothing left to stay for. Argument: engine. */
import process from "node:process";
import { type Engine, serve } from "../../mod.ts";

const server = await serve(() => new Response("hello"), {
  port: 0,
  hostname: "127.0.0.1",
  engine: process.argv[2] as "auto" | Engine,
});
console.log(`engine: ${server.engine};`);
const response = await fetch(server.url, { headers: { connection: "close" } });
console.log(await response.text());
const report = await server.shutdown({ timeout: 10_000 });
console.log(`${report.reason}, ${server.state}`);
