/**
 * A program with hostile variables in its environment. With "import" it only imports the module, and says
 * what has changed by that; with "serve" it serves until it is ended.
 */
import { readdirSync } from "node:fs";
import process from "node:process";

const NAMES = ["GRACEFUL_UPGRADE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
const variables = () => JSON.stringify(NAMES.map((name) => process.env[name]));
const descriptors = () => readdirSync("/proc/self/fd").length;

// systemd's variable for this process, whose number nobody knows before.
if (process.env["LISTEN_PID"] === "own") process.env["LISTEN_PID"] = String(process.pid);
const before = variables();
const count = process.platform === "linux" ? descriptors() : 0;
const { graceful, serve } = await import("../../mod.ts");
await import("../../src/upgrade/mod.ts");
if (process.argv[2] === "import") {
  console.log(`environment: ${variables() === before};`);
  // The modules themselves are closed by now.
  if (process.platform === "linux") console.log(`descriptors: ${descriptors() - count};`);
  process.exit();
}
const server = await serve(() => new Response("hello"), { port: 0, hostname: "127.0.0.1" });
console.log(`port: ${server.addr.transport === "tcp" && server.addr.port};`);
const ending = graceful(server);
console.log(`own: ${process.env["GRACEFUL_UPGRADE"] ?? ""};`);
await ending;
