/**
 * How long a drain takes when nothing holds it up, on the engines of the runtime that runs this:
 * with 100 idle connections, and from the last response to the end. The median of 21 runs.
 */
import net from "node:net";
import { once } from "node:events";
import process from "node:process";
import { type Engine, serve } from "../mod.ts";

const RUNS = 21;
const IDLE = 100;

const engines: Engine[] = "deno" in process.versions
  ? ["deno", "deno-serve", "node"]
  : "bun" in process.versions
  ? ["bun", "node"]
  : ["node"];

function ask(port: number, path: string): net.Socket {
  const socket = net.connect(port, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`);
  return socket;
}

async function measure(engine: Engine): Promise<{ idle: number; last: number }> {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  const server = await serve(async (request) => {
    if (!request.url.endsWith("/wait")) return new Response("hello");
    arrival.resolve();
    await gate.promise;
    return new Response("waited");
  }, { port: 0, hostname: "127.0.0.1", engine });
  const port = server.addr.transport === "tcp" ? server.addr.port : 0;
  const idle = Array.from({ length: IDLE }, () => ask(port, "/"));
  await Promise.all(idle.map((socket) => once(socket, "data")));
  const idleClosed = Promise.all(idle.map((socket) => once(socket, "close")));
  const waiting = ask(port, "/wait");
  await arrival.promise;

  const start = performance.now();
  const done = server.shutdown();
  for (const socket of idle) socket.resume();
  await idleClosed;
  const idleTime = performance.now() - start;
  gate.resolve();
  await once(waiting, "data");
  const answered = performance.now();
  await done;
  return { idle: idleTime, last: performance.now() - answered };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

for (const engine of engines) {
  const runs = [];
  for (let i = 0; i < RUNS; i++) runs.push(await measure(engine));
  const idle = median(runs.map((run) => run.idle)).toFixed(1);
  const last = median(runs.map((run) => run.last)).toFixed(1);
  console.log(
    `${engine.padEnd(10)} ${IDLE} idle connections closed within ${idle} ms; ` +
      `resolved ${last} ms after the last response arrived`,
  );
}
