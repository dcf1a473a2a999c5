import {
  checkServe,
  type Engine,
  type Handler,
  type ServeOptions,
  serveSettings,
} from "./options/serve.ts";
import { startDriver } from "./runtime/engines.ts";
import type { ServerOn } from "./server/server.ts";
import { limitBodies } from "./server/body_limit.ts";
import { readTls, startServer } from "./start_server.ts";
import { checkNodeVersion } from "./runtime/host/node_version.ts";

/**
 * Serves HTTP with a fetch handler, on the fastest engine of this runtime that can be shut down like Go's
 * `http.Server`.
 *
 * The promise resolves once the server listens. Deno asks only for `--allow-net`, and for a unix socket
 * also for `--allow-read` and `--allow-write`.
 *
 * @throws {TypeError} If `handler` is not a function, an option does not exist, has the wrong type or
 * contradicts another, the engine is not one of this runtime, a certificate or a key cannot be read, or they do
 * not belong together.
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
export async function serve<On extends Engine = Engine, Data = unknown>(
  handler: Handler,
  options: ServeOptions<On, Data> = {},
): Promise<ServerOn<On>> {
  checkNodeVersion();
  checkServe(handler, options);
  const tls = await readTls(options);
  const server = await startServer(options, async ({ backlog, socket, ...scope }) => {
    const settings = serveSettings({ ...options, backlog }, scope, socket, tls);
    return await startDriver(
      options.engine ?? "auto",
      limitBodies(handler, settings.limits.maxBodySize),
      settings,
    );
  });
  // The cast: the server runs on the engine that was asked for.
  return server as ServerOn<On>;
}
