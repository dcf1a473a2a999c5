/** A server of `node:http` with \@godaddy/terminus. */
import { createServer } from "node:http";
import process from "node:process";
import { createTerminus } from "@godaddy/terminus";
import { listen } from "./listening.ts";
import { answer } from "./node_answer.ts";
import { GRACE, type Start } from "./started.ts";

/** The number of servers started so far. Each server listens to an event of its own, in place of a signal. */
let started = 0;

/** Starts the server. */
export const start: Start = async () => {
  const server = createServer(answer);
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const event = `terminus-${started++}`;
  createTerminus(server, {
    signal: event,
    timeout: GRACE,
    onShutdown() {
      resolve();
      // Terminus would send the signal to the process next, which ends it.
      return new Promise(() => {});
    },
  });
  const port = await listen(server);
  // terminus can be shut down by an event of the process only.
  const shutdown = () => {
    // The cast: the types know the names of signals alone.
    process.emit(event as never, event as never);
    return done;
  };
  return { port, node: server, shutdown };
};
