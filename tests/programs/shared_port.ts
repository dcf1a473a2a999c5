/**
 * Processes that share a port with SO_REUSEPORT are replaced one by one, while clients open a connection for each
 * request and try nothing again. Writes the number of failed requests, and of those that took a second or longer.
 * Arguments: the port, the engine or "", and the command of a service without its arguments.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import process from "node:process";

const SERVICES = 3;
const REPLACEMENTS = 6;
const CLIENTS = 24;
/** In ms. A client that the kernel has ignored tries again after a second. */
const SECOND = 950;

const [port = "", engine = "", command = "", ...args] = process.argv.slice(2);

async function start(): Promise<ChildProcess> {
  const options = { stdio: ["ignore", "pipe", "inherit"] as ["ignore", "pipe", "inherit"] };
  const child = spawn(command, [...args, port, ...(engine === "" ? [] : [engine])], options);
  console.log(`starts: ${child.pid}`);
  const [line] = await once(child.stdout!, "data");
  if (!String(line).startsWith("ready")) throw new Error(`not ready: ${line}`);
  return child;
}

function ask(): Promise<boolean> {
  return new Promise((resolve) => {
    const client = net.connect(Number(port), "127.0.0.1");
    client.on("error", () => resolve(false));
    client.on("close", () => resolve(false));
    client.on("data", (data) => {
      if (!data.includes("hello")) return;
      resolve(true);
      client.destroy();
    });
    client.write("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  });
}

const services: ChildProcess[] = [];
for (let i = 0; i < SERVICES; i++) services.push(await start());
let failed = 0;
let slow = 0;
let isOver = false;
const clients = Array.from({ length: CLIENTS }, async () => {
  while (!isOver) {
    const begin = performance.now();
    if (!await ask()) failed++;
    if (performance.now() - begin > SECOND) slow++;
  }
});
for (let i = 0; i < REPLACEMENTS; i++) {
  services.push(await start());
  const former = services.shift()!;
  const exit = once(former, "exit");
  former.kill("SIGTERM");
  await exit;
}
isOver = true;
await Promise.all(clients);
for (const service of services) service.kill("SIGTERM");
console.log(`failed ${failed}, slow ${slow}`);
