import type { DrivenServer } from "../server/driven_server.ts";

/**
 * Runs the lame-duck phase for `ms` milliseconds: the servers keep serving, and each HTTP/1 response ends
 * its connection. Resolves earlier if all servers have finished, or when `cutShort` resolves.
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
  // Without servers, the delay is for the clients of something else that this process runs.
  if (servers.length > 0) {
    Promise.all(servers.map(({ finished }) => finished)).then(() => resolve());
  }
  await Promise.race([over, cutShort]);
  clearTimeout(timer);
}
