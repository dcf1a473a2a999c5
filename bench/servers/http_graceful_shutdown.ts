/** A server of `node:http` with http-graceful-shutdown. */
import { createServer } from "node:http";
import gracefulShutdown from "http-graceful-shutdown";
import { listen } from "./listening.ts";
import { answer } from "./node_answer.ts";
import { GRACE, type Start } from "./started.ts";

/** Starts the server. */
export const start: Start = async () => {
  const server = createServer(answer);
  const port = await listen(server);
  // No signals: each start would leave listeners on the process.
  const shutdown = gracefulShutdown(server, {
    signals: "",
    timeout: GRACE,
    forceExit: false,
  });
  return { port, node: server, shutdown };
};
