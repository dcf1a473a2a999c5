/**
 * A service whose certificate each SIGUSR2 renews, with the other one of two: `service.ts <engine>`. The engine
 * `tcp` is `serveTcp`, with just enough HTTP.
 */
import process from "node:process";
import { type Engine, graceful, serve, serveTcp, type TcpConn } from "../../mod.ts";
import { first, second } from "../../tests/support/certificates.ts";

const [engine] = process.argv.slice(2);
const options = { port: 0, hostname: "127.0.0.1", ...first };
const server = engine === "tcp"
  ? await serveTcp(answerLines, options)
  // The cast: renewals.ts is the one that calls.
  : await serve(() => new Response("hello"), { ...options, engine: engine as "auto" | Engine });

async function answerLines({ readable, writable, setState }: TcpConn): Promise<void> {
  const writer = writable.getWriter();
  let received = "";
  for await (const text of readable.pipeThrough(new TextDecoderStream())) {
    received += text;
    if (!received.endsWith("\r\n\r\n")) continue;
    const isLast = received.includes("Connection: close");
    received = "";
    const head = `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n${isLast ? "Connection: close\r\n" : ""}`;
    await writer.write(new TextEncoder().encode(`${head}\r\nhello`));
    if (isLast) return;
    setState("idle");
  }
}

let renewals = 0;
process.on("SIGUSR2", async () => {
  renewals++;
  await server.setCertificate(renewals % 2 === 0 ? first : second);
  console.log(`renewed ${renewals}`);
});
const ending = graceful(server, { timeout: 15_000, log: false });
console.log(`serves ${server.engine} at ${new URL(server.url).port}`);
await ending;
