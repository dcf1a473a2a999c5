/** Two services, on the engine of the first argument and on the ports of the others. */
import process from "node:process";
import { type Engine, serve, type Server } from "../../mod.ts";

const [engine, ...ports] = process.argv.slice(2);
const servers: Server[] = [];
for (const [i, port] of ports.entries()) {
  servers.push(
    await serve(() => new Response(`server ${i + 1}`), {
      port: Number(port),
      hostname: "127.0.0.1",
      // The cast: what it is started with is an engine.
      engine: engine as Engine,
    }),
  );
}
process.once("SIGTERM", async () => {
  await Promise.all(servers.map((server) => server.shutdown({ timeout: 5_000 })));
  process.exit();
});
console.log(`addr: ${JSON.stringify(servers[0]!.addr)};`);
