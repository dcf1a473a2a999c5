/**
 * A service with two servers, of which `graceful` has the first. SIGHUP restarts the service, and SIGUSR2 shuts the second
 * server down. A successor takes over at SIGUSR2. Argument: an engine.
 */
import { once } from "node:events";
import process from "node:process";
import { type Engine, graceful, serve } from "../../mod.ts";

const { pid } = process;
const isSuccessor = process.env["GRACEFUL_UPGRADE"] !== undefined;
const released = once(process, "SIGUSR2");
// The cast: the test passes the name of an engine.
const engine = process.argv[2] as Engine;
const start = (port: number) =>
  serve(() => new Response(String(pid)), {
    port,
    hostname: "127.0.0.1",
    engine,
    handoff: "inherit",
  });
const [first, second] = [await start(0), await start(0)];
if (isSuccessor) {
  console.log(`waits: ${pid};`);
  // A listener of a signal does not keep a process alive.
  const alive = setInterval(() => {}, 60_000);
  await released;
  clearInterval(alive);
} else {
  console.log(`second: ${second.url};`);
  released.then(() => second.shutdown()).then(() => console.log(`shut down: ${pid};`));
}
const ending = graceful(first, { upgradeOn: "SIGHUP" });
console.log(`${isSuccessor ? "successor" : "predecessor"}: ${pid};`);
await ending;
await second.close();
