/** A server that `serve` has started, with a listener that can be handed to a successor. */
import { serve } from "../../mod.ts";
import { answer } from "./fetch_answer.ts";
import { portOf } from "./graceful_port.ts";
import { HOSTNAME, type Start } from "./started.ts";

/** Starts the server with the default engine of the runtime. */
export const start: Start = async () => {
  const server = await serve(answer, {
    port: 0,
    hostname: HOSTNAME,
    handoff: "auto",
  });
  return { port: portOf(server), shutdown: () => server.shutdown() };
};
