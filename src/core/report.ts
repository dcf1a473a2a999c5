import type { ConnInfo } from "./conn.ts";

/**
 * What a shutdown did.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * const report = await server.shutdown();
 * console.log(report.reason, report.connections); // drained []
 * ```
 */
export interface ShutdownReport {
  /**
   * Why the shutdown ended: `"drained"` (no connection is left), `"timeout"` (its own deadline),
   * `"aborted"` (the caller's signal) or `"closed"` (`close()` was called).
   */
  readonly reason: "drained" | "timeout" | "aborted" | "closed";
  /** Milliseconds from the call of `shutdown` to its end. */
  readonly duration: number;
  /** The number of times that the call looked for idle connections. */
  readonly polls: number;
  /** Connections closed because they were idle, or new for more than 5 s. */
  readonly idle: number;
  /** Connections that ended by themselves during the drain: after their last response, or by the client. */
  readonly drained: number;
  /** Connections closed by `close()`, whatever they were doing. */
  readonly forced: number;
  /** The connections still open when the report was made. Empty for `"drained"`. */
  readonly connections: readonly ConnInfo[];
}
