import { startTcpDriver } from "./runtime/engines.ts";
import type { Server } from "./server/server.ts";
import { readTls, startServer } from "./start_server.ts";
import { checkServeTcp, type TcpHandler, type TcpOptions, tcpSettings } from "./options/tcp.ts";
import { checkNodeVersion } from "./runtime/host/node_version.ts";

/**
 * Serves a custom protocol over TCP, TLS or a unix socket, with the shutdown of {@linkcode serve}. The handler
 * is called for each connection, and says when the connection is idle.
 *
 * During a shutdown, idle connections are closed at the first poll. Active connections are closed as soon
 * as their handler says that they are idle, or returns. A connection that has sent nothing is kept until it
 * is 5 s old. With `idleGrace`, idle connections stay open for that time, including connections that become
 * idle during that time.
 *
 * The promise resolves once the server listens. Deno asks for `--allow-net`, and for a unix socket also for
 * `--allow-read` and `--allow-write`.
 *
 * @throws {TypeError} If `handler` is not a function, an option has the wrong type or contradicts
 * another.
 * @throws {TypeError} If a certificate or a key cannot be read, or they do not belong together.
 * @throws {RangeError} If an option is out of range.
 * @throws {UpgradeError} With `handoff`, on Deno without `--allow-ffi`, and on Deno and Bun on
 * a system other than Linux.
 * @throws {Error} If the server cannot listen, with the system's `code` (`EADDRINUSE` …). Nothing is left
 * open.
 * @throws The reason of `signal`, if the signal has aborted before the server listens.
 *
 * @example
 * ```ts
 * import { serveTcp } from "@x/graceful";
 *
 * const server = await serveTcp(async ({ readable, writable, setState }) => {
 *   const writer = writable.getWriter();
 *   for await (const chunk of readable) {
 *     await writer.write(chunk);
 *     setState("idle");
 *   }
 * }, { port: 0, hostname: "127.0.0.1" });
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export async function serveTcp(handler: TcpHandler, options: TcpOptions = {}): Promise<Server> {
  checkNodeVersion();
  checkServeTcp(handler, options);
  const tls = await readTls(options);
  return await startServer(options, async ({ backlog, drainNotice, socket }) => {
    const settings = tcpSettings({ ...options, backlog }, drainNotice, socket, tls);
    return await startTcpDriver(handler, settings);
  });
}
