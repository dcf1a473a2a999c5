import type net from "node:net";
import { slot } from "./open_connections.ts";

/** What Bun keeps of a socket of its own `node:http`. */
interface Handle {
  closeIfIdle?(): unknown;
}

/**
 * Leaves it to Bun to close a connection of its own `node:http`, if that is idle: nothing else knows
 * whether a part of the next request has come. False where this is not such a connection.
 */
export function isLeftToBun(socket: net.Socket): boolean {
  const handle = slot<Handle>(socket, "handle");
  if (typeof handle?.closeIfIdle !== "function") return false;
  handle.closeIfIdle();
  return true;
}
