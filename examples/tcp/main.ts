/** A counter that speaks lines: see README.md. Run it, and `nc 127.0.0.1 7000`. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { graceful, serveTcp, type TcpConn } from "@x/graceful";

/** Of the `slow` command, in ms. */
const SLOW = 1_000;

let count = 0;

/** The answer to a command; undefined for the one that ends the connection. */
async function answer(command: string): Promise<string | undefined> {
  switch (command) {
    case "add":
      return String(++count);
    case "get":
      return String(count);
    case "slow":
      await sleep(SLOW);
      return "done";
    case "quit":
      return undefined;
    default:
      return "commands: add, get, slow, quit";
  }
}

/** One connection, from its first line to its last. */
async function serve(conn: TcpConn): Promise<void> {
  const writer = conn.writable.getWriter();
  const encoder = new TextEncoder();
  for await (const line of linesOf(conn)) {
    // The line has made the connection active: a shutdown waits for the answer to it.
    const text = await answer(line.trim());
    if (text === undefined) break;
    await writer.write(encoder.encode(`${text}\n`));
    // From here on a shutdown may close it.
    conn.setState("idle");
  }
  await writer.write(encoder.encode("goodbye\n"));
}

async function* linesOf({ readable }: TcpConn): AsyncGenerator<string> {
  let rest = "";
  for await (const text of readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

const server = await serveTcp(serve, {
  hostname: "127.0.0.1",
  port: Number(process.env["PORT"] ?? 7000),
  onListen: (addr) => console.log(`listening: ${addr.transport === "tcp" && addr.port};`),
});
await graceful(server, { timeout: 15_000, cleanup: () => console.log(`count: ${count};`) });
