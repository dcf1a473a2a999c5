/** A service that can be restarted by SIGHUP: `service.ts <port> <handoff> <engine>`. */
import process from "node:process";
import { type Engine, graceful, serve } from "../../mod.ts";
import { announce, answer } from "../../support/announce.ts";
import type { Handoff } from "./ways.ts";

// The casts: ways.ts is the one that calls.
const [port, handoff, engine] = process.argv.slice(2) as [
  string,
  Handoff,
  "auto" | Engine,
];
const server = await serve(answer, {
  port: Number(port),
  hostname: "127.0.0.1",
  engine,
  handoff,
});
const ending = graceful(server, { upgradeOn: "SIGHUP", timeout: 15_000 });
// Only now: a signal that comes before graceful is called kills the process.
announce();
await ending;
