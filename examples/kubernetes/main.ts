/** A service for Kubernetes. The numbers fit deployment.yaml: see the README beside this file. */
import { graceful, serve } from "@x/graceful";
import { health } from "@x/graceful/health";

/** Stands for what the service cannot work without. */
const db = {
  ping: (signal: AbortSignal) => Promise.resolve(!signal.aborted),
  end: () => console.log("the database connections are closed"),
};

const app = () => new Response("hello\n");

const server = await serve(
  health({ readiness: { database: (signal) => db.ping(signal) }, next: app }),
  { port: 8080, hostname: "0.0.0.0" },
);

await graceful(server, {
  drainDelay: 5_000,
  timeout: 15_000,
  cleanup: () => db.end(),
  cleanupTimeout: 5_000,
});
