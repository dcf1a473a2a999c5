import type { DrivenServer } from "../server/driven_server.ts";

/**
 * Makes the servers serve as a lame duck for `ms` milliseconds: each HTTP/1 response is the last one of its
 * connection. Resolves earlier if all servers have finished, or with `cutShort`.
 */
export async function lameDuck(
  servers: readonly DrivenServer[],
  ms: number,
  cutShort: Promise<unknown>,
): Promise<void> {
  if (ms === 0) return;
  for (const server of servers) server.startLameDuck();
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  // Without servers, something else in this process serves, and the delay is for its clients.
  if (servers.length > 0) {
    Promise.all(servers.map(({ finished }) => finished)).then(() => resolve());
  }
  await Promise.race([over, cutShort]);
  clearTimeout(timer);
}
