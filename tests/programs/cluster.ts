/**
 * A primary of `node:cluster` that ends at SIGTERM, or calls `cluster.disconnect()`, as the first argument
 * says, and one worker, whose server is one of `serve()` or an adopted one, as the second says.
 */
import cluster from "node:cluster";
import http from "node:http";
import process from "node:process";
import { adopt, graceful, serve, type Server } from "../../mod.ts";

const [how, kind] = process.argv.slice(2);

if (cluster.isPrimary) {
  const worker = cluster.fork();
  console.log(`starts: ${worker.process.pid}`);
  if (how === "disconnects") process.on("SIGTERM", () => cluster.disconnect());
} else {
  const gate = Promise.withResolvers<void>();
  process.on("SIGUSR2", () => gate.resolve());
  const answer = async (path: string) => {
    if (path === "/quick") return "quick";
    console.log("arrived;");
    await gate.promise;
    return "answered";
  };
  const server = kind === "serve" ? await served(answer) : await adopted(answer);
  console.log(`addr: ${JSON.stringify(server.addr)};`);
  const { cause, exitCode } = await graceful(server, {
    timeout: 10_000,
    cleanup: () => console.log("cleaned up;"),
  });
  console.log(`ended: ${cause} ${exitCode};`);
}

async function served(answer: (path: string) => Promise<string>): Promise<Server> {
  const where = { port: 0, hostname: "127.0.0.1" };
  return await serve(async ({ url }) => new Response(await answer(new URL(url).pathname)), where);
}

async function adopted(answer: (path: string) => Promise<string>): Promise<Server> {
  const native = http.createServer(async ({ url }, res) => void res.end(await answer(url!)));
  await new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
  return adopt(native);
}
