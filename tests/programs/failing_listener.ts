/**
 * A service whose listeners of the drain throw, those of a request and of the server. Its argument is a
 * JSON object with the engine, and with the way in which they listen.
 */
import process from "node:process";
import { type Engine, graceful, serve } from "../../mod.ts";

const { engine, way }: { engine: Engine; way: string } = JSON.parse(process.argv[2]!);

function listen(signal: AbortSignal, owner: string): void {
  const fail = () => {
    throw new Error(`thrown by a listener of the ${owner}`);
  };
  if (way === "listener") signal.addEventListener("abort", fail);
  if (way === "object") signal.addEventListener("abort", { handleEvent: fail });
  if (way === "property") signal.onabort = fail;
  if (way === "async") signal.addEventListener("abort", () => Promise.resolve().then(fail));
}

const server = await serve(async (_request, { draining }) => {
  listen(draining, "request");
  const drained = new Promise((resolve) => draining.addEventListener("abort", resolve));
  console.log("arrived;");
  await drained;
  return new Response("answered");
}, { port: 0, hostname: "127.0.0.1", engine });
listen(server.draining, "server");
const ending = graceful(server, { log: false });
console.log(`port: ${server.addr.transport === "tcp" && server.addr.port};`);
await ending;
