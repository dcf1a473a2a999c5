/** A worker with a server at an address that it shares with its process; answers when it is told to. */
import { parentPort, workerData } from "node:worker_threads";
import { serve } from "../../mod.ts";

const gate = Promise.withResolvers<void>();
const server = await serve(async () => {
  parentPort!.postMessage("request");
  await gate.promise;
  return new Response("of the worker");
}, { ...workerData });
parentPort!.on("message", async () => {
  gate.resolve();
  await server.shutdown();
  parentPort!.postMessage("closed");
});
parentPort!.postMessage(server.addr);
