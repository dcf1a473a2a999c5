import type http from "node:http";
import type http2 from "node:http2";

/**
 * The type of the runtime's own server behind each engine. The engine "deno" has no such server. The types for Deno
 * and Bun come from the runtime's own types if those are installed, and are `unknown` otherwise.
 */
export interface NativeServers {
  /** A server of `node:http`, or of `node:http2` with TLS. */
  node: http.Server | http2.Http2SecureServer;
  /** No server. */
  deno: undefined;
  /** The server that `Deno.serve` has returned. */
  "deno-serve": typeof globalThis extends { Deno: { serve(...options: never): infer Server } }
    ? Server
    : unknown;
  /** The server that `Bun.serve` has returned. */
  bun: typeof globalThis extends { Bun: { serve(...options: never): infer Server } } ? Server
    : unknown;
}

/** A handle that keeps the process alive until `unref` is called. */
export interface Refable {
  ref(): unknown;
  unref(): unknown;
}
