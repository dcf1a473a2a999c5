import type http from "node:http";
import type http2 from "node:http2";

/**
 * The runtime's own server that each engine has. The engine "deno" has none: it serves each connection by itself. The
 * types of servers of Deno and Bun are those of the runtime, if they are installed, and `unknown` otherwise.
 */
export interface NativeServers {
  /** A server of `node:http`, or of `node:http2` with TLS. */
  node: http.Server | http2.Http2SecureServer;
  /** No server. */
  deno: undefined;
  /** What `Deno.serve` has returned. */
  "deno-serve": typeof globalThis extends { Deno: { serve(...options: never): infer Server } }
    ? Server
    : unknown;
  /** What `Bun.serve` has returned. */
  bun: typeof globalThis extends { Bun: { serve(...options: never): infer Server } } ? Server
    : unknown;
}

/** A handle that keeps the process alive, unless it is told not to. */
export interface Refable {
  ref(): unknown;
  unref(): unknown;
}
