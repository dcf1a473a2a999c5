/**
 * Several servers of this process share a port with SO_REUSEPORT. Argument: the engine. Says the port, replaces the
 * servers one by one at SIGUSR2, and ends at SIGTERM.
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { serve, type ServeOptions, type Server } from "../../mod.ts";

const SERVERS = 3;
const REPLACEMENTS = 8;

/** In ms: the time that a server has for its part of the connections. */
const PAUSE = 100;

let port = 0;
const start = async (): Promise<Server> => {
  // The cast: the argument is an engine of this runtime.
  const engine = process.argv[2] as ServeOptions["engine"];
  const options = { engine, port, hostname: "127.0.0.1", reusePort: true } as ServeOptions;
  const server = await serve(() => new Response("hello"), options);
  if (server.addr.transport === "tcp") port = server.addr.port;
  return server;
};

const servers: Server[] = [];
while (servers.length < SERVERS) servers.push(await start());
process.once("SIGTERM", () => process.exit(0));
process.once("SIGUSR2", async () => {
  for (let i = 0; i < REPLACEMENTS; i++) {
    await delay(PAUSE);
    servers.push(await start());
    await servers.shift()!.shutdown();
  }
  console.log("replaced;");
});
console.log(`port: ${port};`);
