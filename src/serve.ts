import { complain } from "./complain.ts";
import { checkServe, type Handler, type ServeOptions, serveSettings } from "./options.ts";
import { startDriver } from "./runtime/detect.ts";
import { DrivenServer, type Server } from "./server.ts";
import { listenerFor, type SharedListener } from "./upgrade/listener.ts";

/**
 * Serves HTTP with a fetch handler, on this runtime's fastest engine that can be shut down as Go's
 * `http.Server` can.
 *
 * Resolves once the server listens. Deno asks for `--allow-net` and nothing else; for a unix
 * socket, for `--allow-read` and `--allow-write` too.
 *
 * @throws {TypeError} If `handler` is no function, an option has the wrong type or contradicts
 * another, or the engine is not one of this runtime.
 * @throws {RangeError} If an option is out of range.
 * @throws {Error} If it cannot listen, with the system's `code` (`EADDRINUSE` …). Nothing is left
 * open.
 * @throws The reason of `signal`, if that has aborted before the server listens.
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
export async function serve(handler: Handler, options: ServeOptions = {}): Promise<Server> {
  checkServe(handler, options);
  options.signal?.throwIfAborted();
  if (options.cert !== undefined && options.key !== undefined) {
    const { checkCertificate } = await import("./certificate.ts");
    checkCertificate({ cert: options.cert, key: options.key });
  }
  const listener = await listenerFor(options);
  const server = await start(handler, options, listener);
  if (options.signal !== undefined) await closeWith(options.signal, server);
  try {
    options.onListen?.(server.addr);
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

/** Starts a server that accepts on the listener, or without one listens for itself. */
async function start(
  handler: Handler,
  options: ServeOptions,
  listener: SharedListener | undefined,
): Promise<DrivenServer> {
  const drainStart = new AbortController();
  const backlog = options.backlog ?? listener?.backlog;
  const settings = serveSettings({ ...options, backlog }, drainStart.signal, listener?.addr);
  let server;
  try {
    const driver = await startDriver(options.engine ?? "auto", handler, settings);
    server = new DrivenServer(driver, drainStart, listener);
    await listener?.giveTo(driver);
    return server;
  } catch (error) {
    if (server === undefined) listener?.close();
    else await server.close();
    throw error;
  }
}

/** Closes the server when the signal aborts, which it may have done while the server started. */
async function closeWith(signal: AbortSignal, server: Server): Promise<void> {
  if (signal.aborted) {
    await server.close();
    throw signal.reason;
  }
  const close = () => {
    server.close().catch(complain);
  };
  signal.addEventListener("abort", close, { once: true });
  server.finished.then(() => signal.removeEventListener("abort", close));
}
