/**
 * A service that is restarted by SIGHUP, as a user would write it. Arguments: engine, handoff, port
 * or path.
 */
import process from "node:process";
import { type Engine, graceful, serve } from "../../mod.ts";

const [engine, handoff, where = "0"] = process.argv.slice(2);
const server = await serve(() => new Response(String(process.pid)), {
  ...(where.startsWith("/") ? { path: where } : { port: Number(where), hostname: "127.0.0.1" }),
  engine: engine as Engine,
  handoff: handoff as "inherit",
});
console.log(`up: ${process.pid} ${server.engine} ${server.handoff} ${JSON.stringify(server.addr)};`);
const report = await graceful(server, { upgradeOn: "SIGHUP", timeout: 5000 });
console.log(`down: ${process.pid} ${report.cause} ${report.exitCode};`);
