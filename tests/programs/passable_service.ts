/**
 * A service whose listener can be handed over. Arguments: port, and an engine, or "adopt" for a server of `node:http` that
 * accepts on the descriptor of `listen`. It ends with its signals as services do.
 */
import { createServer } from "node:http";
import process from "node:process";
import { adopt, type Engine, graceful, listen, serve, type Server } from "../../mod.ts";
import { keepBusy } from "../support/keep_busy.ts";

/** The time in ms for which a request keeps the process busy, so that connections wait in the accept queue at the end. */
const BUSY = 2;

const [port, kind] = process.argv.slice(2);
const where = { port: Number(port), hostname: "127.0.0.1" };
const server = kind === "adopt" ? await startAdopted() : await serve(answer, {
  ...where,
  // The cast: the tests pass the name of an engine.
  engine: kind as Engine,
  handoff: "inherit",
});

function answer(): Response {
  keepBusy(BUSY);
  return new Response("hello");
}

async function startAdopted(): Promise<Server> {
  const native = createServer((_request, response) => {
    keepBusy(BUSY);
    response.end("hello");
  });
  const { fd } = await listen(where);
  await new Promise<void>((resolve) => native.listen({ fd }, resolve));
  return adopt(native);
}

console.log(`serves: ${process.pid};`);
await graceful(server, { idleGrace: 0, log: false });
