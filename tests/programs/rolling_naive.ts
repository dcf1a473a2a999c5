/**
 * The twin of rolling.ts as it is written without this package: the runtime's own server, and its
 * own graceful stop on SIGTERM. Argument: port. What is not done after 3 s is cut off: Node's own
 * stop waits for connections that a load balancer keeps alive.
 */
import process from "node:process";
import { announce } from "../../support/announce.ts";
import { answer } from "../../support/rolling/answer.ts";

const DEADLINE = 3_000;

const hostname = "127.0.0.1";

/** Starts a server, and resolves with what stops it gracefully. */
type Start = (port: number) => Promise<() => Promise<unknown>>;

/** Its readiness is that it listens. */
async function handler(request: Request): Promise<Response> {
  // HAProxy's checks are HTTP/1.0 and name no host: on Bun their URL is the path alone.
  if (new URL(request.url, "http://localhost").pathname === "/readyz") return new Response("ready");
  return await answer(request);
}

const startNode: Start = async (port) => {
  const { createServer } = await import("node:http");
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { method = "GET", url } = incoming;
    const body = method === "GET" ? null : new Blob(chunks);
    const response = await handler(new Request(`http://${hostname}${url}`, { method, body }));
    outgoing.writeHead(response.status);
    for await (const chunk of response.body!) outgoing.write(chunk);
    outgoing.end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
  return () => new Promise((resolve) => server.close(resolve));
};

const startDeno: Start = (port) => {
  // The cast: Deno's types are not there for Node.
  const { Deno } = globalThis as unknown as {
    Deno: {
      serve(options: object, fetch: typeof handler): { shutdown(): Promise<void> };
    };
  };
  const server = Deno.serve({ port, hostname, onListen: () => {} }, handler);
  return Promise.resolve(() => server.shutdown());
};

const startBun: Start = (port) => {
  // The cast: Bun's types are not there for Node.
  const { Bun } = globalThis as unknown as {
    Bun: { serve(options: object): { stop(): Promise<void> } };
  };
  const server = Bun.serve({ port, hostname, development: false, fetch: handler });
  return Promise.resolve(() => server.stop());
};

function startOfRuntime(): Start {
  if ("deno" in process.versions) return startDeno;
  return "bun" in process.versions ? startBun : startNode;
}

const stop = await startOfRuntime()(Number(process.argv[2]));
process.once("SIGTERM", async () => {
  setTimeout(() => process.exit(1), DEADLINE).unref();
  await stop();
  process.exit(0);
});
announce();
