/** Measures the shutdown of a server with many connections. */
import type { Shutdown } from "./commands.ts";
import { open, waiting } from "./gate.ts";
import { keepByDefault } from "./keep_alive.ts";
import { watchStalls } from "./stall.ts";
import type { Started } from "./started.ts";
import { cpu } from "./usage.ts";

/** The time in ms that requests in flight still take when the shutdown begins. */
const LEFT = 300;

/** Shuts the server down. Requests that wait at the gate are answered 300 ms later. */
export async function measureShutdown(
  { node, shutdown }: Started,
): Promise<Shutdown> {
  keepByDefault(node);
  let opened: number | undefined;
  const stalls = watchStalls();
  const before = cpu();
  const began = performance.now();
  const done = shutdown();
  if (waiting() > 0) {
    setTimeout(() => {
      open();
      opened = performance.now();
    }, LEFT);
  }
  await done;
  const ended = performance.now();
  return {
    time: ended - began,
    cpu: cpu() - before,
    stall: stalls(),
    afterResponse: opened === undefined ? null : ended - opened,
  };
}
