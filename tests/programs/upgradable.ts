/**
 * A service that is restarted by SIGHUP, as a user would write it, and that says what it does. Its
 * argument is a JSON object of {@linkcode Plan}. What goes wrong with a generation is read from a
 * file when it starts, for the command is the same each time.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  graceful,
  type GracefulOptions,
  serve,
  type ServeOptions,
  type Server,
} from "../../mod.ts";
import { Upgrader, type UpgraderOptions } from "../../src/upgrade/mod.ts";

/** What the service is made of. */
export interface Plan {
  readonly servers: readonly ServeOptions[];
  readonly graceful?: GracefulOptions;
  readonly upgrader?: UpgraderOptions;
  /** A call of `graceful` for each server; the first is the one that upgrades. */
  readonly apart?: boolean;
  readonly title?: string;
  /** Where it is written what goes wrong with the generation that starts next. */
  readonly mishap?: string;
}

const plan: Plan = JSON.parse(process.argv[2]!);
const mishap = plan.mishap === undefined ? "" : readFileSync(plan.mishap, "utf8").trim();

console.log(`starts: ${process.pid} ${mishap};`);
if (mishap === "crashes at once") throw new Error("of a program that crashes at once");
if (mishap === "exits at once") process.exit(0);
if (mishap === "hangs") await new Promise(() => setInterval(() => {}, 60_000));

const released = Promise.withResolvers<void>();
process.once("SIGUSR2", () => released.resolve());

async function handler(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/wait" || pathname === "/upload") {
    console.log(`arrived: ${pathname} by ${process.pid};`);
  }
  if (pathname === "/wait") await released.promise;
  if (pathname === "/upload") await request.text();
  if (pathname === "/env") return new Response(JSON.stringify(Object.keys(process.env)));
  if (pathname === "/argv") return new Response(JSON.stringify(process.argv.slice(2)));
  return new Response(String(process.pid));
}

const servers: Server[] = [];
const asked = mishap === "serves less" ? plan.servers.slice(0, 1) : plan.servers;
for (const options of asked) servers.push(await serve(handler, options));
if (mishap === "crashes after serve") {
  await sleep(300);
  throw new Error("of a program that crashes after serve");
}
const { pid } = process;
for (const { engine, handoff, addr } of servers) {
  console.log(`up: ${pid} ${engine} ${handoff} ${JSON.stringify(addr)};`);
}
if (mishap === "closes and exits") {
  for (const server of servers) await server.close();
  process.exit(1);
}
if (mishap === "shuts down and exits") {
  for (const server of servers) await server.shutdown();
  process.exit(1);
}
if (plan.title !== undefined) process.title = plan.title;
const ending = graceful(plan.apart ? servers[0]! : servers, {
  upgradeOn: "SIGHUP",
  ...plan.graceful,
  ...(plan.upgrader === undefined ? {} : { upgrader: new Upgrader(plan.upgrader) }),
});
for (const server of plan.apart ? servers.slice(1) : []) {
  graceful(server).then(({ cause }) => console.log(`apart: ${pid} ${cause};`));
}
console.log(`graceful: ${pid};`);
if (mishap === "dies after ready") setTimeout(() => process.kill(pid, "SIGKILL"), 300);
const report = await ending;
console.log(`down: ${pid} ${report.cause} ${report.exitCode};`);
