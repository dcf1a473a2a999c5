/** A server that `serve` has started, with the `FastResponse` of srvx, which saves Node a `Response`. */
import { FastResponse } from "srvx";
import { serve } from "../../mod.ts";
import { answerWith } from "./fetch_answer.ts";
import { portOf } from "./graceful_port.ts";
import { HOSTNAME, type Start } from "./started.ts";

/** Starts the server with the default engine of the runtime. */
export const start: Start = async () => {
  const server = await serve((request) => answerWith(FastResponse, request), {
    port: 0,
    hostname: HOSTNAME,
  });
  return { port: portOf(server), shutdown: () => server.shutdown() };
};
