/** Has a server of `node:http` listen. */
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { keepIdle } from "./keep_alive.ts";
import { HOSTNAME } from "./started.ts";

/** Listens on a free port, and resolves with the port. */
export async function listen(server: Server): Promise<number> {
  keepIdle(server);
  server.listen({ port: 0, host: HOSTNAME });
  await once(server, "listening");
  return portOf(server);
}

/** The port of a server that listens. */
export function portOf(server: Server): number {
  // The cast: a server that listens on TCP has an AddressInfo.
  return (server.address() as AddressInfo).port;
}

/** Closes a server as `node:http` itself does, and resolves when its last connection is gone. */
export function close(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => error === undefined ? resolve() : reject(error));
  });
}
