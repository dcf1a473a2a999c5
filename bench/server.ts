/**
 * A server process: `server.ts <bare|graceful|handoff> <engine> <handler>`, on any of the three runtimes.
 *
 * Prints its port as a line. Answers each line on stdin with a line of JSON, a {@linkcode Usage}:
 * `usage` at once, `memory` after a garbage collection. Ends with its stdin.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import type { Engine } from "../mod.ts";
import { type BenchHandler, type HandlerName, handlers } from "./handlers.ts";

/** Which of the servers of a pair. `handoff` is one whose listener can be handed on. */
export type Kind = "bare" | "graceful" | "handoff";

/** What a server process has used so far. */
export interface Usage {
  /** User and system time, in µs. */
  readonly cpu: number;
  /** Resident memory, in bytes. */
  readonly rss: number;
}

const hostname = "127.0.0.1";

/** Starts a server and resolves with its port. */
type Start = (handler: BenchHandler, engine: "auto" | Engine, kind: Kind) => Promise<number>;

const startGraceful: Start = async (handler, engine, kind) => {
  const { serve } = await import("../mod.ts");
  const handoff = kind === "handoff" ? "auto" : undefined;
  const { addr } = await serve(handler, { port: 0, hostname, engine, handoff });
  if (addr.transport !== "tcp") throw new Error("Cannot measure a server without a port");
  return addr.port;
};

const startBareNode: Start = async (handler) => {
  const { createServer } = await import("node:http");
  const { toNodeHandler } = await import("srvx/node");
  // The cast: srvx's handlers take its own ServerRequest, which is a Request.
  const server = createServer(toNodeHandler(handler as never) as never);
  await new Promise<void>((resolve) => server.listen({ port: 0, host: hostname }, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port");
  return address.port;
};

const startBareDeno: Start = (handler) => {
  const { Deno } = globalThis as unknown as {
    Deno: { serve(options: object, handler: BenchHandler): { addr: { port: number } } };
  };
  const server = Deno.serve({ port: 0, hostname, onListen: () => {} }, handler);
  return Promise.resolve(server.addr.port);
};

const startBareBun: Start = (handler) => {
  const { Bun } = globalThis as unknown as {
    Bun: { serve(options: object): { port: number } };
  };
  const { port } = Bun.serve({
    port: 0,
    hostname,
    idleTimeout: 0,
    development: false,
    fetch: handler,
  });
  return Promise.resolve(port);
};

function startOf(kind: Kind, engine: "auto" | Engine): Start {
  if (kind !== "bare") return startGraceful;
  if (engine === "node") return startBareNode;
  if ("deno" in process.versions) return startBareDeno;
  if ("bun" in process.versions) return startBareBun;
  return startBareNode;
}

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpu: user + system, rss: process.memoryUsage.rss() };
}

function collectGarbage(): void {
  const { Bun, gc } = globalThis as unknown as {
    Bun?: { gc(synchronous: boolean): void };
    gc?: () => void;
  };
  if (Bun === undefined) gc?.();
  else Bun.gc(true);
}

async function answerCommands(): Promise<void> {
  for await (const command of createInterface({ input: process.stdin })) {
    if (command === "memory") collectGarbage();
    console.log(JSON.stringify(usage()));
  }
}

// The casts: steady.ts is the one that calls.
const [kind, engine, handler] = process.argv.slice(2) as [Kind, "auto" | Engine, HandlerName];
console.log(await startOf(kind, engine)(handlers[handler], engine, kind));
await answerCommands();
process.exit();
