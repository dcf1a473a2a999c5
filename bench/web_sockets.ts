/**
 * Measures a shutdown with 1 000 WebSockets on each kind of server, and checks what each client receives:
 * `node bench/web_sockets.ts`. The clients are in the process of the server, and their work is in the times.
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { commandOf, currentRuntime, RUNTIMES } from "../support/runtimes.ts";
import { RawWebSocket } from "../support/raw_web_socket.ts";
import { kinds, type WebSocketKind } from "../support/web_socket_servers.ts";
import { quantile } from "./stats.ts";

/** The number of WebSockets. */
const COUNT = 1_000;

/** The number of bytes of the large message. */
const MIB = 1024 * 1024;

/** One way in which the application and its clients behave. */
interface Case {
  readonly name: string;
  /** The last message, of that many bytes. */
  readonly size: number;
  /** The share of the clients that answer no close frame. */
  readonly silent: number;
}

const CASES: readonly Case[] = [
  { name: "a word each", size: 5, silent: 0 },
  { name: "1 MiB each", size: MIB, silent: 0 },
  {
    name: "a word each; 100 answer nothing, within: 1 000",
    size: 5,
    silent: 0.1,
  },
];

/** Runs one case on one kind of server, and returns a row of the table. */
async function measure(
  name: string,
  kind: WebSocketKind,
  one: Case,
): Promise<string> {
  const { server, sockets } = await kind.start();
  const clients: RawWebSocket[] = [];
  for (let i = 0; i < COUNT; i++) {
    clients.push(await RawWebSocket.open(server.addr));
  }
  while (sockets.size < COUNT) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const text = "x".repeat(one.size);
  server.onShutdown(() => {
    for (const socket of sockets) socket.send(text);
  });
  const start = performance.now();
  const done = server.shutdown({
    hijacked: { close: 1012, within: one.silent > 0 ? 1_000 : undefined },
  });
  const closed: number[] = [];
  let lost = 0;
  await Promise.all(clients.map(async (client, index) => {
    client.endsWithServer = index >= COUNT * one.silent;
    try {
      if (
        await client.text() !== text || (await client.closeFrame())[0] !== 1012
      ) lost++;
      closed.push(performance.now() - start);
      if (client.endsWithServer) client.answerClose(1012);
    } catch {
      lost++;
    }
  }));
  const { forced } = await done;
  const total = performance.now() - start;
  for (const { socket } of clients) socket.destroy();
  const frame = (q: number) => closed.length === 0 ? "-" : `${Math.round(quantile(closed, q))}`;
  return `| ${currentRuntime}, ${name} | ${one.name} | ${frame(0.5)} | ${frame(1)} | ${
    Math.round(total)
  } | ${lost} | ${forced} |`;
}

const [, , kindName, caseName] = process.argv;
if (kindName === undefined) {
  console.log(
    "| server | last message | close frame, median ms | last one | shutdown, ms | lost | cut off |",
  );
  console.log("| --- | --- | --- | --- | --- | --- | --- |");
  for (const runtime of RUNTIMES) {
    const names = {
      node: ["adopted ws"],
      deno: ["deno", "deno-serve", "adopted ws"],
      bun: ["bun", "adopted ws"],
    };
    for (const name of names[runtime]) {
      for (const one of CASES) {
        const [program, ...options] = commandOf(
          runtime,
          new URL(import.meta.url),
        );
        process.stdout.write(
          execFileSync(program, [...options, name, one.name], {
            encoding: "utf8",
          }),
        );
      }
    }
  }
} else {
  const one = CASES.find(({ name }) => name === caseName)!;
  console.log(await measure(kindName, kinds[kindName]!, one));
  process.exit();
}
