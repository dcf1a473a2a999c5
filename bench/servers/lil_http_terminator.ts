/** A server of `node:http` with lil-http-terminator. */
import { createServer } from "node:http";
import HttpTerminator from "lil-http-terminator";
import { listen } from "./listening.ts";
import { answer } from "./node_answer.ts";
import { GRACE, type Start } from "./started.ts";

/** Starts the server. */
export const start: Start = async () => {
  const server = createServer(answer);
  const terminator = HttpTerminator({
    server,
    gracefulTerminationTimeout: GRACE,
  });
  const port = await listen(server);
  return { port, node: server, shutdown: () => terminator.terminate() };
};
