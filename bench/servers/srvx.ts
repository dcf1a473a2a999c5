/** A server of srvx, on each runtime. */
import type { Server } from "node:http";
import { serve } from "srvx";
import { answer } from "./fetch_answer.ts";
import { keepIdle } from "./keep_alive.ts";
import { HOSTNAME, type Start } from "./started.ts";

/** Starts the server. */
export const start: Start = async () => {
  const server = serve({
    fetch: answer,
    port: 0,
    hostname: HOSTNAME,
    silent: true,
    gracefulShutdown: false,
    bun: { idleTimeout: 0 },
  });
  await server.ready();
  // The cast: without TLS, the server of srvx on Node is one of node:http.
  const node = server.node?.server as Server | undefined;
  if (node !== undefined) keepIdle(node);
  return {
    port: Number(new URL(server.url!).port),
    node,
    shutdown: () => server.close(),
  };
};
