/** The bare server of `node:http`. */
import { createServer } from "node:http";
import { close, listen } from "./listening.ts";
import { answer } from "./node_answer.ts";
import type { Start } from "./started.ts";

/** Starts the bare server. */
export const start: Start = async () => {
  const server = createServer(answer);
  const port = await listen(server);
  return { port, node: server, shutdown: () => close(server) };
};
