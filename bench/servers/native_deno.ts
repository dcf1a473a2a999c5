/** Calls `Deno.serve`, for the bare server and for the adopted one. */
import type { DenoNativeServer } from "../../mod.ts";
import { answer } from "./fetch_answer.ts";
import { HOSTNAME } from "./started.ts";

/** What `Deno.serve` returns, as far as it is used here. */
export type NativeDeno = DenoNativeServer & {
  readonly addr: { readonly port: number };
};

interface DenoApi {
  serve(options: object, handler: typeof answer): NativeDeno;
}

/** Starts a server with `Deno.serve`. */
export function serveDeno(): NativeDeno {
  // The cast: the types of this project are those of Node.
  const { Deno } = globalThis as unknown as { Deno: DenoApi };
  return Deno.serve(
    { port: 0, hostname: HOSTNAME, onListen() {} },
    answer,
  );
}
