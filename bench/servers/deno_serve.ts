/** The bare server of Deno. */
import { serveDeno } from "./native_deno.ts";
import type { Start } from "./started.ts";

/** Starts the bare server. */
export const start: Start = () => {
  const server = serveDeno();
  return Promise.resolve({
    port: server.addr.port,
    shutdown: () => server.shutdown(),
  });
};
