/**
 * Serves with `health`, whose one readiness check waits at a gate, decides the end of the process
 * for the cause that is its argument, and says what the probes are answered before and after.
 */
import process from "node:process";
import { serve } from "../../mod.ts";
import { GracefulCall } from "../../src/graceful/end_of_process.ts";
import { health } from "../../src/health/mod.ts";

let gate = Promise.withResolvers<void>();
let started = Promise.withResolvers<void>();
const server = await serve(
  health({
    readiness: {
      gate: async (signal) => {
        signal.addEventListener("abort", () => console.log(`aborted: ${signal.reason.message}`));
        started.resolve();
        await Promise.race([gate.promise, new Promise((resolve) => signal.onabort = resolve)]);
        signal.throwIfAborted();
      },
    },
    timeout: 10_000,
    details: true,
    onCheckChange: (name) => console.log(`changed: ${name}`),
  }),
  { port: 0, hostname: "127.0.0.1" },
);

/** Asks, and says what the answer was; with `meanwhile` after the check has started. */
async function probe(what: string, path: string, meanwhile?: () => unknown): Promise<void> {
  started = Promise.withResolvers();
  // Each with a connection of its own, so that none is idle.
  const answer = fetch(`${server.url}${path}?verbose`, { headers: { connection: "close" } });
  if (meanwhile !== undefined) await started.promise.then(meanwhile);
  const response = await answer;
  console.log(`${what}: ${response.status} ${JSON.stringify(await response.text())}`);
}

const open = () => {
  gate.resolve();
  gate = Promise.withResolvers();
};
await probe("ready before", "readyz", open);
const call = new GracefulCall();
await probe("ready while it is decided", "readyz", () => {
  call.decide(process.argv[2]!);
  open();
});
if (process.argv[2] === "upgraded") {
  await probe("ready after", "readyz", open);
  let drained;
  await probe("ready while it drains", "readyz", () => {
    drained = server.shutdown();
    open();
  });
  await drained;
} else {
  await probe("ready after", "readyz");
  await probe("live after", "livez");
  call.done(true);
  await probe("ready when the process lives on", "readyz", open);
  await server.shutdown();
}
