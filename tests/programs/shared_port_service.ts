/** A service on a port that others share. Arguments: the port, and the engine if it is not the runtime's own. */
import process from "node:process";
import { graceful, serve, type ServeOptions } from "../../mod.ts";
import { announce } from "../../support/announce.ts";

const [port, engine] = process.argv.slice(2);
const server = await serve(() => new Response("hello"), {
  port: Number(port),
  hostname: "127.0.0.1",
  reusePort: true,
  engine: engine as ServeOptions["engine"],
});
const ending = graceful(server, { timeout: 10_000, log: false });
announce();
await ending;
