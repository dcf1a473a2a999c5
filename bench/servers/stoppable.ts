/** A server of `node:http` with stoppable. */
import { createServer } from "node:http";
import stoppable from "stoppable";
import { listen } from "./listening.ts";
import { answer } from "./node_answer.ts";
import { GRACE, type Start } from "./started.ts";

/** Starts the server. */
export const start: Start = async () => {
  const server = stoppable(createServer(answer), GRACE);
  const port = await listen(server);
  return {
    port,
    node: server,
    shutdown: () => new Promise((resolve) => server.stop(resolve)),
  };
};
