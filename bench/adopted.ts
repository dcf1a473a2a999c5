/**
 * What an idle connection costs a server of `node:http` that is adopted, beside one that is not.
 *
 * `node bench/adopted.ts`
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { adopt } from "../mod.ts";

/** What is there once is in both counts, and cancels out. */
const FEW = 1_000;
const MANY = 3_000;
const ROUNDS = 5;

type Kind = "bare" | "adopted" | "client";

interface Measured {
  readonly heap: number;
  readonly timers: number;
}

/** This file again, as a process of a kind. */
function start(kind: Kind, ...args: string[]): ReturnType<typeof spawn> {
  const file = fileURLToPath(import.meta.url);
  return spawn(process.execPath, ["--expose-gc", file, kind, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

async function lineOf(child: ReturnType<typeof spawn>): Promise<string> {
  const [text] = await once(child.stdout!, "data");
  return String(text);
}

async function measure(kind: Kind, connections: number): Promise<Measured> {
  const child = start(kind, String(connections));
  const measured = JSON.parse(await lineOf(child));
  await once(child, "close");
  return measured;
}

/** Has connections that are idle after a request each, and says what they cost. */
async function serveIdle(kind: Kind, connections: string): Promise<void> {
  const server = http.createServer((_request, response) => void response.end("hello"));
  server.keepAliveTimeout = 0;
  if (kind === "adopted") adopt(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // The cast: one that listens on TCP has an AddressInfo.
  const { port } = server.address() as net.AddressInfo;
  const client = start("client", connections, String(port));
  await lineOf(client);
  for (let i = 0; i < 10; i++) {
    // The cast: it is there with --expose-gc.
    (globalThis as unknown as { gc(): void }).gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  console.log(JSON.stringify({ heap: process.memoryUsage().heapUsed, timers }));
  client.stdin!.end();
  await once(client, "close");
  process.exit();
}

/** Opens the connections, and says when each has been answered. */
function connectAll(connections: number, port: number): void {
  let answered = 0;
  for (let i = 0; i < connections; i++) {
    const socket = net.connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
    socket.once("data", () => {
      if (++answered === connections) console.log("idle");
    });
  }
  process.stdin.resume().on("end", () => process.exit());
}

/** Bytes a connection, and timers in all. */
async function costOf(kind: Kind): Promise<Measured> {
  const [few, many] = [await measure(kind, FEW), await measure(kind, MANY)];
  return { heap: (many.heap - few.heap) / (MANY - FEW), timers: many.timers };
}

async function compare(): Promise<void> {
  const costs: number[] = [];
  let timers = 0;
  for (let i = 0; i < ROUNDS; i++) {
    const bare = await costOf("bare");
    const adopted = await costOf("adopted");
    costs.push(adopted.heap - bare.heap);
    timers = Math.max(timers, adopted.timers - bare.timers);
  }
  const median = costs.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
  console.log(
    `An adopted idle connection: ${Math.round(median)} bytes more, ${timers} timers more`,
  );
}

const [kind, connections = "0", port] = process.argv.slice(2);
if (kind === undefined) await compare();
else if (kind === "client") connectAll(Number(connections), Number(port));
// The cast: it was started with one.
else await serveIdle(kind as Kind, connections);
