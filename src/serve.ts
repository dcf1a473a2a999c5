import { checkServe, type Handler, type ServeOptions, serveSettings } from "./options/serve.ts";
import { startDriver } from "./runtime/engines.ts";
import type { Server } from "./server/server.ts";
import { startServer } from "./start_server.ts";

/**
 * Serves HTTP with a fetch handler, on the fastest engine of this runtime that can be shut down like Go's
 * `http.Server`.
 *
 * The promise resolves once the server listens. Deno asks only for `--allow-net`, and for a unix socket
 * also for `--allow-read` and `--allow-write`.
 *
 * @throws {TypeError} If `handler` is not a function, an option has the wrong type or contradicts
 * another, or the engine is not one of this runtime.
 * @throws {RangeError} If an option is out of range.
 * @throws {Error} If the server cannot listen, with the system's `code` (`EADDRINUSE` …). Nothing is left
 * open.
 * @throws The reason of `signal`, if the signal has aborted before the server listens.
 *
 * @example
 * ```ts
 * import { graceful, serve } from "@x/graceful";
 *
 * const server = await serve((request) => new Response(`hello, ${new URL(request.url).pathname}`), {
 *   port: 9527,
 * });
 * await graceful(server, { timeout: 15_000 });
 * ```
 */
export async function serve<Data = unknown>(
  handler: Handler,
  options: ServeOptions<Data> = {},
): Promise<Server> {
  checkServe(handler, options);
  if (options.cert !== undefined && options.key !== undefined) {
    const { checkCertificate } = await import("./options/certificate.ts");
    checkCertificate({ cert: options.cert, key: options.key });
  }
  return await startServer(options, async ({ backlog, socket, ...scope }) => {
    const settings = serveSettings({ ...options, backlog }, scope, socket);
    return await startDriver(options.engine ?? "auto", handler, settings);
  });
}
