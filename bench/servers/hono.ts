/** A server of \@hono/node-server, which is stopped as its documentation says: by `close`. */
import { once } from "node:events";
import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import { answer } from "./fetch_answer.ts";
import { keepIdle } from "./keep_alive.ts";
import { close, portOf } from "./listening.ts";
import { HOSTNAME, type Start } from "./started.ts";

/** Starts the server. */
export const start: Start = async () => {
  // The cast: without `createServer` in the options, the server is one of node:http.
  const server = serve({
    fetch: answer,
    port: 0,
    hostname: HOSTNAME,
  }) as Server;
  keepIdle(server);
  await once(server, "listening");
  return { port: portOf(server), node: server, shutdown: () => close(server) };
};
