/**
 * Decides the end of the process while a readiness probe waits for two checks, one of which does
 * not care for its signal, and drains. Argument: engine.
 */
import process from "node:process";
import { type Engine, serve } from "../../mod.ts";
import { GracefulCall } from "../../src/graceful/end_of_process.ts";
import { health } from "../../src/health/mod.ts";

const started = Promise.withResolvers<void>();
const server = await serve(
  health({
    readiness: {
      careless: () => new Promise(() => {}),
      obedient: (signal) =>
        new Promise((_, reject) => {
          started.resolve();
          signal.addEventListener("abort", () => {
            console.log(`aborted: ${signal.reason.name}`);
            reject(signal.reason);
          });
        }),
    },
    // Nothing is to wait for it: not the answer, not the process.
    timeout: 600_000,
    details: true,
    onCheckChange: (name) => console.log(`changed: ${name}`),
  }),
  { port: 0, hostname: "127.0.0.1", engine: process.argv[2] as Engine },
);
const answer = fetch(`${server.url}readyz?verbose`);
await started.promise;
new GracefulCall().decide("SIGTERM");
const drained = server.shutdown();
const response = await answer;
console.log(`${response.status} ${JSON.stringify(await response.text())}`);
console.log((await drained).reason);
