/**
 * A service with two servers, of which `graceful` has the first. SIGHUP restarts the service, and SIGUSR2 shuts the second
 * server down. A successor takes over at SIGUSR2. Arguments: an engine, and a path if the second server listens on a unix
 * socket.
 */
import { once } from "node:events";
import process from "node:process";
import { type Engine, graceful, serve } from "../../mod.ts";

const { pid } = process;
const isSuccessor = process.env["GRACEFUL_UPGRADE"] !== undefined;
const released = once(process, "SIGUSR2");
const [name, path] = process.argv.slice(2);
// The cast: the test passes the name of an engine.
const engine = name as Engine;
const local = { port: 0, hostname: "127.0.0.1" };
const start = (where: { port: number; hostname: string } | { path: string }) =>
  serve(() => new Response(String(pid)), { ...where, engine, handoff: "inherit" });
const first = await start(local);
const second = await start(path === undefined ? local : { path });
if (isSuccessor) {
  console.log(`waits: ${pid};`);
  // A listener of a signal does not keep a process alive.
  const alive = setInterval(() => {}, 60_000);
  await released;
  clearInterval(alive);
} else {
  const { addr } = second;
  console.log(`second: ${addr.transport === "tcp" ? addr.port : addr.path};`);
  released.then(() => second.shutdown()).then(() => console.log(`shut down: ${pid};`));
}
const ending = graceful(first, { upgradeOn: "SIGHUP" });
console.log(`${isSuccessor ? "successor" : "predecessor"}: ${pid};`);
await ending;
await second.close();
