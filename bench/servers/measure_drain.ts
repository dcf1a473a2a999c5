/** Measures the end of a shutdown that has waited for a single request. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Drains } from "./commands.ts";
import { open, whenWaiting } from "./gate.ts";
import { keepByDefault } from "./keep_alive.ts";
import { GREETING } from "./payload.ts";
import { HOSTNAME, type Start } from "./started.ts";

/** The time in ms after which the client gives up on a drain, which then ends. */
const PATIENCE = 1_000;

/** Drains a fresh server so many times, or until the time in ms is used up. */
export async function measureDrains(
  start: Start,
  runs: number,
  budget: number,
): Promise<Drains> {
  const end = performance.now() + budget;
  const latencies: number[] = [];
  let late = 0;
  for (let run = 0; run < runs && performance.now() < end; run++) {
    const latency = await measureDrain(start);
    if (latency < PATIENCE) latencies.push(latency);
    else late++;
  }
  return { latencies, late };
}

/**
 * Measures one drain. The client is in this process, so that both times are of one clock. Zero is a shutdown
 * that resolved before the client had read the response.
 */
async function measureDrain(start: Start): Promise<number> {
  const { port, node, shutdown } = await start();
  keepByDefault(node);
  const client = connect(port, HOSTNAME);
  client.on("error", () => {});
  client.write("GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  await whenWaiting(1);
  const response = endOfResponse(client);
  const done = shutdown().then(() => performance.now());
  // A time that varies, so that no poll of a server is met at the same point of each run.
  await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
  open();
  const responded = await response;
  const patience = setTimeout(() => client.destroy(), PATIENCE);
  const latency = await done - responded;
  clearTimeout(patience);
  client.destroy();
  return Math.max(0, latency);
}

/** The time at which the response has come to its end, which is the end of its greeting. */
async function endOfResponse(client: Socket): Promise<number> {
  let received = "";
  while (!received.includes(GREETING)) {
    received += (await once(client, "data"))[0];
  }
  // The connection is read to its end, so that the client closes its side when the server does.
  client.resume();
  return performance.now();
}
