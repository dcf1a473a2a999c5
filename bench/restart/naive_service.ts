/**
 * A service on the runtime's own server, with its own graceful stop on SIGTERM:
 * `naive_service.ts <port> <alone|reuseport>`. What is not done after 3 s is cut off: Node's own
 * stop alone would let clients that keep their connections alive go on forever.
 */
import process from "node:process";
import { announce, answer } from "../../support/announce.ts";

const DEADLINE = 3_000;

/** Starts a server and resolves with what stops it gracefully. */
type Start = (
  port: number,
  reusePort: boolean,
) => Promise<() => Promise<unknown>>;

const hostname = "127.0.0.1";

const startNode: Start = async (port, reusePort) => {
  const { createServer } = await import("node:http");
  const server = createServer(({ url }, response) => {
    const body = `${process.pid} ${url}`;
    response.writeHead(200, { "content-length": body.length }).end(body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host: hostname, reusePort }, resolve);
  });
  return () => new Promise((resolve) => server.close(resolve));
};

const startDeno: Start = (port, reusePort) => {
  // The cast: Deno's types are not there for Node.
  const { Deno } = globalThis as unknown as {
    Deno: {
      serve(
        options: object,
        handler: (request: Request) => Response,
      ): { shutdown(): Promise<void> };
    };
  };
  const server = Deno.serve(
    { port, hostname, reusePort, onListen: () => {} },
    answer,
  );
  return Promise.resolve(() => server.shutdown());
};

const startBun: Start = (port, reusePort) => {
  // The cast: Bun's types are not there for Node.
  const { Bun } = globalThis as unknown as {
    Bun: { serve(options: object): { stop(): Promise<void> } };
  };
  const server = Bun.serve({
    port,
    hostname,
    reusePort,
    development: false,
    fetch: answer,
  });
  return Promise.resolve(() => server.stop());
};

function startOfRuntime(): Start {
  if ("deno" in process.versions) return startDeno;
  return "bun" in process.versions ? startBun : startNode;
}

const [port, way] = process.argv.slice(2);
const stop = await startOfRuntime()(Number(port), way === "reuseport");
process.once("SIGTERM", async () => {
  setTimeout(() => process.exit(1), DEADLINE).unref();
  await stop();
  process.exit(0);
});
announce();
