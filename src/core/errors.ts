import { printable } from "./printable.ts";
import type { ShutdownReport } from "./report.ts";

/**
 * The error of an operation on a server that has been shut down or closed.
 *
 * The name and the meaning are from Go's `http.ErrServerClosed`.
 *
 * @example
 * ```ts
 * import { serve, ServerClosedError } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * await server.close();
 * try {
 *   server.onShutdown(() => {});
 * } catch (error) {
 *   console.log(error instanceof ServerClosedError); // true
 * }
 * ```
 */
export class ServerClosedError extends Error {
  /** Always `"ServerClosedError"`. */
  override readonly name: string = "ServerClosedError";
}

/**
 * The error of a request whose body is larger than `maxBodySize`, which the handler gets when it reads the body.
 *
 * Frameworks that turn an error into a response answer 413: `status` and `getResponse` are the members of Hono's
 * `HTTPException`.
 *
 * @example
 * ```ts
 * import { BodyTooLargeError, serve } from "@x/graceful";
 *
 * const server = await serve(async (request) => {
 *   try {
 *     return new Response(await request.text());
 *   } catch (error) {
 *     if (!(error instanceof BodyTooLargeError)) throw error;
 *     return Response.json({ limit: error.limit }, { status: error.status });
 *   }
 * }, { port: 0, maxBodySize: 1_000 });
 * const response = await fetch(server.url, { method: "POST", body: "x".repeat(1_001) });
 * console.log(await response.json()); // { limit: 1000 }
 * await server.shutdown();
 * ```
 */
export class BodyTooLargeError extends Error {
  /** Always `"BodyTooLargeError"`. */
  override readonly name: string = "BodyTooLargeError";
  /** The status of the response: 413 (RFC 9110, 15.5.14). */
  readonly status = 413;
  /** The largest size of a body that the server takes, in bytes. */
  readonly limit: number;

  /** Creates the error of a body that is larger than `limit` bytes. */
  constructor(limit: number) {
    super(`Cannot read the body of the request as it is larger than 'maxBodySize', ${limit} bytes`);
    this.limit = limit;
  }

  /** Returns the response to the request. */
  getResponse(): Response {
    return new Response("Content Too Large", { status: this.status });
  }
}

/**
 * The error of a process that cannot hand over its listeners to a successor, or whose successor did not
 * become ready. The process keeps serving.
 *
 * @example
 * ```ts
 * import { Upgrader, UpgradeError } from "@x/graceful/upgrade";
 *
 * const upgrader = new Upgrader();
 * try {
 *   await upgrader.upgrade();
 * } catch (error) {
 *   console.log(error instanceof UpgradeError); // true
 * }
 * ```
 */
export class UpgradeError extends Error {
  /** Always `"UpgradeError"`. */
  override readonly name: string = "UpgradeError";
}

/**
 * The error of a shutdown whose `timeout` passed, or whose `signal` aborted, before the last connection was
 * closed.
 *
 * The error closes no connection: the connections in {@linkcode ShutdownIncompleteError.report} are still
 * served, and the caller decides whether to wait again or to call `close()`. `cause` is the reason of the
 * signal, or a `TimeoutError` if the `timeout` has passed.
 *
 * @example
 * ```ts
 * import { serve, ShutdownIncompleteError } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * try {
 *   await server.shutdown({ timeout: 15_000 });
 * } catch (error) {
 *   if (error instanceof ShutdownIncompleteError) console.error(error.report.connections);
 *   await server.close();
 * }
 * ```
 */
export class ShutdownIncompleteError extends Error {
  /** Always `"ShutdownIncompleteError"`. */
  override readonly name: string = "ShutdownIncompleteError";
  /** The report of the shutdown: what had been closed by then, and each connection that is still open. */
  readonly report: ShutdownReport;

  /** Creates the error of a shutdown. `cause` is why the shutdown stopped waiting. */
  constructor(report: ShutdownReport, cause: unknown) {
    const open = report.connections.map((conn) =>
      `${conn.state} for ${Math.round(conn.requestAge ?? conn.age)} ms` +
      (conn.method === undefined ? "" : `, ${conn.method} ${printable(conn.path ?? "")}`)
    );
    super(
      `Shutdown is incomplete after ${Math.round(report.duration)} ms: ${open.length} connection${
        open.length === 1 ? " is" : "s are"
      } still open${open.length === 0 ? "" : ` (${open.join("; ")})`}`,
      { cause },
    );
    this.report = report;
  }
}
