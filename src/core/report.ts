import type { ConnInfo } from "./conn.ts";

/**
 * A report of what a shutdown did.
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
   * Why the shutdown ended: `"drained"` (no connection is left), `"timeout"` (the deadline has passed),
   * `"aborted"` (the caller's signal) or `"closed"` (`close()` was called).
   */
  readonly reason: "drained" | "timeout" | "aborted" | "closed";
  /** The number of milliseconds from the call of `shutdown` to its end. */
  readonly duration: number;
  /** The number of times that the call of `shutdown` looked for idle connections: a measure of its cost. */
  readonly polls: number;
  /** The number of connections that were closed because they were idle, or new for more than 5 s. */
  readonly idle: number;
  /**
   * The number of connections that ended by themselves during the drain, after their last response or
   * because the client closed them.
   */
  readonly drained: number;
  /**
   * The number of connections that `close()` closed, whatever their state, and of WebSockets that were
   * cut off after `hijacked.within`.
   */
  readonly forced: number;
  /** The connections that were still open when the report was made. The list is empty for `"drained"`. */
  readonly connections: readonly ConnInfo[];
}
