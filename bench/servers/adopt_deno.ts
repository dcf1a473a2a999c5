/** A server of `Deno.serve` that is adopted. */
import { adopt } from "../../mod.ts";
import { serveDeno } from "./native_deno.ts";
import type { Start } from "./started.ts";

/** Starts the adopted server. */
export const start: Start = () => {
  const native = serveDeno();
  const server = adopt(native);
  return Promise.resolve({
    port: native.addr.port,
    shutdown: () => server.shutdown(),
  });
};
