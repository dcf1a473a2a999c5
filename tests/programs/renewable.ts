/**
 * A service over TLS that reads its certificate from files: anew at each SIGUSR2, and in each successor. Its
 * arguments are the folder of the files, the engine and the way of the handover.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { graceful, serve, type ServeOptions } from "../../mod.ts";

const [folder, engine, handoff] = process.argv.slice(2);

const pair = () => ({
  cert: readFileSync(join(folder!, "cert.pem")),
  key: readFileSync(join(folder!, "key.pem")),
});

const { pid } = process;
const released = Promise.withResolvers<void>();
const server = await serve(async (request) => {
  if (new URL(request.url).pathname === "/wait") {
    console.log(`waits: ${pid};`);
    await released.promise;
  }
  return new Response(String(pid));
}, {
  port: 0,
  hostname: "127.0.0.1",
  ...pair(),
  // The cast: the test is the one that calls.
  ...{ engine, handoff } as ServeOptions,
});

// In a successor, this comes before it accepts.
await server.setCertificate(pair());
process.on("SIGUSR2", async () => {
  try {
    await server.setCertificate(pair());
    console.log(`renewed: ${pid};`);
  } catch (error) {
    console.log(`not renewed: ${pid} ${error};`);
  }
});
// The predecessor drains when the successor is ready, and answers what waits when it is told to.
process.on("SIGUSR1", () => released.resolve());

const ending = graceful(server, { upgradeOn: "SIGHUP", idleGrace: 100 });
console.log(`up: ${pid} ${server.engine} ${JSON.stringify(server.addr)};`);
await ending;
console.log(`down: ${pid};`);
