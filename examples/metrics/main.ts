/** A service whose end is measured: see README.md. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { graceful, serve } from "@x/graceful";
import { EndMetrics } from "./end_metrics.ts";

/** In ms: more than a drain is given, so that a request of /slow is closed by force. */
const SLOW = 60_000;

const { PORT = "8080", METRICS_PORT = "9464", METRICS_FILE } = process.env;

const server = await serve(async (request) => {
  if (new URL(request.url).pathname === "/slow") await sleep(SLOW, undefined, { ref: false });
  return new Response("hello\n");
}, { port: Number(PORT), hostname: "127.0.0.1" });

const metrics = new EndMetrics("web", METRICS_FILE);
const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
// A server of its own, which `graceful` does not drain: it can be scraped until the cleanup.
const scraped = await serve(() => new Response(metrics.text(), { headers }), {
  port: Number(METRICS_PORT),
  hostname: "127.0.0.1",
});

console.log(`listening: ${server.url} metrics: ${scraped.url}metrics;`);
await graceful(server, { timeout: 3_000, cleanup: () => scraped.close() });
