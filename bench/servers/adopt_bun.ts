/** A server of `Bun.serve` that is adopted. */
import { adopt } from "../../mod.ts";
import { serveBun } from "./native_bun.ts";
import type { Start } from "./started.ts";

/** Starts the adopted server. */
export const start: Start = () => {
  const native = serveBun();
  const server = adopt(native);
  return Promise.resolve({
    port: native.port,
    shutdown: () => server.shutdown(),
  });
};
