/**
 * A service behind a load balancer, as a user would write it: serve, health, graceful with a delay.
 * Arguments: port, drainDelay in ms, idleGrace in ms.
 */
import process from "node:process";
import { graceful, serve } from "../../mod.ts";
import { health } from "../../src/health/mod.ts";
import { announce } from "../../support/announce.ts";
import { answer } from "../../support/rolling/answer.ts";

const [port, drainDelay, idleGrace = "0"] = process.argv.slice(2);
const server = await serve(health({ next: answer }), { port: Number(port), hostname: "127.0.0.1" });
const ending = graceful(server, {
  drainDelay: Number(drainDelay),
  idleGrace: Number(idleGrace),
  timeout: 10_000,
});
// Only now: a signal that comes before graceful is called kills the process.
announce();
await ending;
