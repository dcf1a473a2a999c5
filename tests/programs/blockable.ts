/**
 * A service whose event loop can be blocked, and whose descriptors can be used up. Its argument is the
 * engine, or "adopted" for a server of `Deno.serve`. SIGTERM shuts it down. What else it writes is a
 * report.
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { adopt, type Engine, type NativeServer, serve, type Server } from "../../mod.ts";

const files: number[] = [];

function takeDescriptors(): void {
  try {
    for (;;) files.push(openSync("/dev/null", "r"));
  } catch {
    // There are none left.
  }
}

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

function answer({ url }: Request): Response {
  const { pathname, searchParams } = new URL(url);
  if (pathname === "/block") block(Number(searchParams.get("ms")));
  if (pathname === "/take") takeDescriptors();
  if (pathname === "/release") files.splice(0).forEach(closeSync);
  return new Response("done");
}

/** The cast: the types of other runtimes do not know it. */
type DenoServe = (
  options: { port: number; hostname: string; onListen(): void },
  handler: (request: Request) => Response,
) => NativeServer;

const where = { port: 0, hostname: "127.0.0.1" };
const engine = process.argv[2];

async function start(): Promise<Server> {
  // The cast: what it is started with is an engine.
  if (engine !== "adopted") return await serve(answer, { ...where, engine: engine as Engine });
  const { Deno } = globalThis as unknown as { Deno: { serve: DenoServe } };
  return adopt(Deno.serve({ ...where, onListen() {} }, answer));
}

const server = await start();
process.once("SIGTERM", async () => {
  await server.shutdown({ timeout: 10_000 });
  process.exit();
});
console.log(`port: ${server.addr.transport === "tcp" && server.addr.port};`);
