/** A service whose listener can be handed over. Arguments: port, engine. It ends with its signals as services do. */
import process from "node:process";
import { type Engine, graceful, serve } from "../../mod.ts";

const [port, engine] = process.argv.slice(2);
// The cast: the tests pass the name of an engine.
const options = { port: Number(port), hostname: "127.0.0.1", engine: engine as Engine };
const server = await serve(() => new Response("hello"), { ...options, handoff: "inherit" });
console.log(`serves: ${process.pid};`);
await graceful(server, { idleGrace: 0, log: false });
