/**
 * A worker of `graceful run`, as a user would write it, that says what it does. Its argument is a JSON object of
 * {@linkcode Plan}. What goes wrong with the worker that starts next is read from a file when it starts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { graceful, type GracefulOptions, serve, type ServeOptions } from "../../mod.ts";

/** What the worker is made of. */
export interface Plan {
  readonly servers: readonly ServeOptions[];
  readonly graceful?: GracefulOptions;
  /** A file that says what goes wrong with each worker that starts. */
  readonly mishap?: string;
}

const plan: Plan = JSON.parse(process.argv[2]!);
const mishap = plan.mishap === undefined ? "" : readFileSync(plan.mishap, "utf8").trim();
const { pid } = process;

console.log(`starts: ${pid} ${mishap};`);
if (mishap.startsWith("exits with ")) process.exit(Number(mishap.slice("exits with ".length)));
if (mishap === "crashes once") {
  writeFileSync(plan.mishap!, "");
  process.exit(5);
}
if (mishap === "hangs") await new Promise(() => setInterval(() => {}, 60_000));

const released = Promise.withResolvers<void>();
process.on("SIGUSR2", () => {
  console.log(`released: ${pid};`);
  released.resolve();
});
process.on("SIGUSR1", () => console.log(`usr1: ${pid};`));

async function handler(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/wait") {
    console.log(`arrived: ${pathname} by ${pid};`);
    await released.promise;
  }
  if (pathname === "/env") return Response.json(process.env);
  if (pathname === "/cwd") return new Response(process.cwd());
  return new Response(String(pid));
}

const servers = await Promise.all(plan.servers.map((options) => serve(handler, options)));
const names = Object.keys(process.env).filter((name) => /^(LISTEN_|NOTIFY_|GRACEFUL_)/.test(name));
console.log(`variables: ${pid} ${names.join(" ")};`);
const ending = graceful(servers, plan.graceful);
console.log(`graceful: ${pid};`);
if (mishap.startsWith("dies after ")) {
  await sleep(Number(mishap.slice("dies after ".length)));
  process.kill(pid, "SIGKILL");
}
const report = await ending;
console.log(`down: ${pid} ${report.cause} ${report.exitCode};`);
