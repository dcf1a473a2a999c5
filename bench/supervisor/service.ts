/** A worker of `graceful run`: `service.ts <port>`. */
import process from "node:process";
import { graceful, serve } from "../../mod.ts";
import { announce, answer } from "../../support/announce.ts";

const server = await serve(answer, { port: Number(process.argv[2]), hostname: "127.0.0.1" });
announce();
await graceful(server, { timeout: 15_000, log: false });
