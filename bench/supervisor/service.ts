/** A worker of `graceful run`: `service.ts <port> <idleGrace>`. */
import process from "node:process";
import { graceful, serve } from "../../mod.ts";
import { announce, answer } from "../../support/announce.ts";

const server = await serve(answer, { port: Number(process.argv[2]), hostname: "127.0.0.1" });
announce();
const idleGrace = Number(process.argv[3]);
await graceful(server, { timeout: 15_000, idleGrace, log: false });
