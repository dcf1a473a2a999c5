/** What waits in the accept queue of a listener of Deno when a drain starts is answered. */
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 15_000;
const CLIENTS = 30;

/** Deno's permissions. Only with all of them the length of the queue is known. */
const PERMISSIONS: Record<string, string[]> = {
  "with all permissions": ["--allow-all"],
  "without FFI": ["--allow-net", "--allow-read"],
};

/** Connects and asks. */
async function ask(port: number, path: string): Promise<{ received: Promise<string> }> {
  const socket = net.connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => received += chunk);
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write(request(path, "Connection: close"));
  return { received: once(socket, "close").then(() => received) };
}

for (const engine of runtime === "deno" ? ["deno", "deno-serve", "adopted"] : []) {
  for (const [permitted, permissions] of Object.entries(PERMISSIONS)) {
    test(`[deno, ${engine}, ${permitted}] shutdown() answers connections made while the event loop is busy`, async () => {
      const program = run("blockable.ts", [engine], permissions);
      const port = Number(await program.says(/port: (\d+);/));
      const blocker = await ask(port, "/block?ms=500");
      const waiting = await Promise.all(Array.from({ length: CLIENTS }, () => ask(port, "/hello")));
      program.signal("SIGTERM");
      const answers = await deadline(
        Promise.all([blocker, ...waiting].map(({ received }) => received)),
        SOON,
      );
      assertEquals(answers.filter((answer) => answer.endsWith("done")).length, CLIENTS + 1);
      await program.exit;
    });
  }
}
