/**
 * Connects many times at once, to a server that stands still meanwhile. Writes a file when the last
 * connection is made, and says at the end how many requests were answered.
 */
import { writeFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";

const [where = "", count = "", kind = "", file = ""] = process.argv.slice(2);
const target = kind === "unix" ? { path: where } : { port: Number(where), host: "127.0.0.1" };
const request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
let [connected, answered, over] = [0, 0, 0];

for (let i = 0; i < Number(count); i++) {
  let received = "";
  const socket = net.connect(target);
  socket.on("connect", () => {
    if (++connected === Number(count)) writeFileSync(file, "");
  });
  const stream = kind === "tls" ? tls.connect({ socket, rejectUnauthorized: false }) : socket;
  stream.write(request);
  stream.on("data", (chunk) => received += chunk.toString("latin1"));
  for (const one of new Set([socket, stream])) one.on("error", () => {});
  socket.on("close", () => {
    if (received.includes("hello")) answered++;
    if (++over === Number(count)) console.log(`answered: ${answered}`);
  });
}
