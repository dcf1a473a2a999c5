/** The port of a server of this package. */
import type { Server } from "../../mod.ts";

/** The port on which the server listens. */
export function portOf({ addr }: Server): number {
  if (addr.transport !== "tcp") {
    throw new Error("Cannot measure a server without a port");
  }
  return addr.port;
}
