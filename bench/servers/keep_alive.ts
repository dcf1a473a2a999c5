/** How long a server of `node:http` keeps an idle connection. */
import type { Server } from "node:http";

/** The default of Node, in ms. */
const DEFAULT = 5_000;

/** Keeps idle connections forever: a client that waits for its turn is not to be dropped. */
export function keepIdle(server: Server): void {
  server.keepAliveTimeout = 0;
}

/** Gives a server the default back. A connection whose response ends during a shutdown is then as usual. */
export function keepByDefault(server: Server | undefined): void {
  if (server !== undefined) server.keepAliveTimeout = DEFAULT;
}
