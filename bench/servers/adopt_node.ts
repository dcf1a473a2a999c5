/** A server of `node:http` that is adopted. */
import { createServer } from "node:http";
import { adopt } from "../../mod.ts";
import { listen } from "./listening.ts";
import { answer } from "./node_answer.ts";
import type { Start } from "./started.ts";

/** Starts the adopted server. */
export const start: Start = async () => {
  const native = createServer(answer);
  const server = adopt(native);
  const port = await listen(native);
  return { port, node: native, shutdown: () => server.shutdown() };
};
