/** A server that `serve` has started, with a lighter global `Response` on Node. */
import { serve } from "../../mod.ts";
import { answer } from "./fetch_answer.ts";
import { portOf } from "./graceful_port.ts";
import { HOSTNAME, type Start } from "./started.ts";

/** Starts the server with the default engine of the runtime. */
export const start: Start = async () => {
  const server = await serve(answer, {
    port: 0,
    hostname: HOSTNAME,
    replaceGlobals: true,
  });
  return { port: portOf(server), shutdown: () => server.shutdown() };
};
