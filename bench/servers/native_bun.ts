/** Calls `Bun.serve`, for the bare server and for the adopted one. */
import type { BunNativeServer } from "../../mod.ts";
import { answer } from "./fetch_answer.ts";
import { HOSTNAME } from "./started.ts";

/** What `Bun.serve` returns, as far as it is used here. */
export type NativeBun = BunNativeServer & { readonly port: number };

interface BunApi {
  serve(options: object): NativeBun;
}

/** Starts a server with `Bun.serve`. */
export function serveBun(): NativeBun {
  // The cast: the types of this project are those of Node.
  const { Bun } = globalThis as unknown as { Bun: BunApi };
  // A client that is idle while others are measured is not to be dropped.
  return Bun.serve({
    port: 0,
    hostname: HOSTNAME,
    idleTimeout: 0,
    development: false,
    fetch: answer,
  });
}
