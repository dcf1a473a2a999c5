import type { Server } from "node:http";

/** A server that listens on a port of 127.0.0.1. */
export interface Started {
  readonly port: number;
  /** The server of `node:http` behind it, if there is one that the module knows. */
  readonly node?: Server;
  /** Shuts the server down gracefully, and resolves when the server is done. */
  shutdown(): Promise<unknown>;
}

/** What each server module exports as `start`: it starts a new server on a free port. */
export type Start = () => Promise<Started>;

/** The address that each server listens on. */
export const HOSTNAME = "127.0.0.1";

/** The time in ms after which peers cut connections, where they have an option for that. */
export const GRACE = 20_000;
