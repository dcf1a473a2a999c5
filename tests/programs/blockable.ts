/**
 * A service whose event loop can be blocked, and whose descriptors can be used up. Its argument is the
 * engine. What else it writes is a report.
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { type Engine, serve } from "../../mod.ts";

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

const server = await serve(({ url }) => {
  const { pathname, searchParams } = new URL(url);
  if (pathname === "/block") block(Number(searchParams.get("ms")));
  if (pathname === "/take") takeDescriptors();
  if (pathname === "/release") files.splice(0).forEach(closeSync);
  return new Response("done");
  // The cast: what it is started with is an engine.
}, { port: 0, hostname: "127.0.0.1", engine: process.argv[2] as Engine });
console.log(`port: ${server.addr.transport === "tcp" && server.addr.port};`);
