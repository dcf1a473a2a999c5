/**
 * Clients with a connection for each request. Each client waits for a random time before it sends a request.
 * Arguments: port, number of clients, the longest wait in ms. At SIGTERM it says how many requests were answered, and
 * how many connections were lost: made, and closed without an answer. A client that is refused tries again.
 */
import net from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const [port, clients, longest] = process.argv.slice(2).map(Number);
const request = "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
let [answered, lost, isOver] = [0, 0, false];

async function ask(): Promise<void> {
  const socket = net.connect({ port: port!, host: "127.0.0.1" });
  let [received, isConnected] = ["", false];
  socket.on("error", () => {});
  socket.on("data", (chunk) => received += chunk.toString("latin1"));
  socket.on("connect", async () => {
    isConnected = true;
    if (longest! > 0) await sleep(Math.random() * longest!);
    socket.write(request);
  });
  await new Promise((resolve) => socket.on("close", resolve));
  if (received.endsWith("hello")) answered++;
  else if (isConnected) lost++;
  else await sleep(2);
}

async function client(): Promise<void> {
  while (!isOver) await ask();
}

process.once("SIGTERM", () => isOver = true);
const over = Promise.all(Array.from({ length: clients! }, client));
console.log("asking");
await over;
console.log(`answered: ${answered}, lost: ${lost};`);
process.exit(0);
