/** The bare server of Bun. */
import { serveBun } from "./native_bun.ts";
import type { Start } from "./started.ts";

/** Starts the bare server. */
export const start: Start = () => {
  const server = serveBun();
  return Promise.resolve({ port: server.port, shutdown: () => server.stop() });
};
