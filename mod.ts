/**
 * Go's `http.Server.Shutdown` on Node, Deno and Bun, with the same result on all three.
 *
 * {@linkcode serve} a fetch handler, then give the server to {@linkcode graceful}, which waits for
 * the signal that ends the process and lets every request finish.
 *
 * @example
 * ```ts
 * import { graceful, serve } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 9527 });
 * await graceful(server, { timeout: 15_000 });
 * ```
 *
 * @module
 */
export { adopt, type AdoptOptions } from "./src/adopt.ts";
export { graceful } from "./src/process/graceful.ts";
export type { Cleanup, GracefulOptions } from "./src/process/graceful_options.ts";
export type { GracefulEvent } from "./src/process/events.ts";
export type { GracefulReport } from "./src/process/graceful_report.ts";
export { serve } from "./src/serve.ts";
export { serveTcp } from "./src/serve_tcp.ts";
export type { TcpConn, TcpHandler, TcpOptions } from "./src/tcp_options.ts";
export type { Server } from "./src/server.ts";
export type { Listener, ListenOptions } from "./src/listen_options.ts";
export { listen } from "./src/upgrade/listener.ts";
// A type here: what makes one is `@x/graceful/upgrade`.
export type { Upgrader, UpgraderOptions } from "./src/upgrade/upgrader.ts";
export type { Handler, ServeInfo, ServeOptions, ShutdownOptions } from "./src/options.ts";
export type { ServerWebSocket, WebSocketHandlers } from "./src/runtime/websocket_options.ts";
export type { Addr, ConnInfo, ConnState } from "./src/conn.ts";
export type { NativeServer } from "./src/runtime/adopt_native.ts";
export type { NodeNativeServer } from "./src/runtime/node_adopt.ts";
export type { DenoNativeServer } from "./src/runtime/deno_adopt.ts";
export type { BunNativeServer } from "./src/runtime/bun_adopt.ts";
export type { Engine } from "./src/runtime/driver.ts";
export type { ShutdownReport } from "./src/report.ts";
export { ServerClosedError, ShutdownIncompleteError, UpgradeError } from "./src/errors.ts";
