/**
 * Go's `http.Server.Shutdown` on Node, Deno and Bun, with the same result on all three.
 *
 * Start a server with {@linkcode serve}, and pass it to {@linkcode graceful}, which waits for the signal that ends the
 * process and lets every request finish.
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
export { graceful } from "./src/graceful/graceful.ts";
export type { AppWithServer } from "./src/graceful/servers_of.ts";
export type { Cleanup, GracefulOptions } from "./src/graceful/options.ts";
export type { GracefulEvent } from "./src/graceful/events.ts";
export type { GracefulChannels } from "./src/graceful/channels.ts";
export type { ShutdownChannels } from "./src/server/shutdown_channels.ts";
export type { GracefulReport } from "./src/graceful/report.ts";
export { serve } from "./src/serve.ts";
export { serveTcp } from "./src/serve_tcp.ts";
export type { TcpConn, TcpHandler, TcpOptions } from "./src/options/tcp.ts";
export type { Server, ServerOn } from "./src/server/server.ts";
export type { NativeServers } from "./src/server/native_server.ts";
export type { Listener, ListenOptions } from "./src/options/listen.ts";
export { listen } from "./src/listener/listen.ts";
// Types only: the class is exported by `@x/graceful/upgrade`.
export type { UpgraderOptions } from "./src/upgrade/options.ts";
export type { Upgrader } from "./src/upgrade/upgrader.ts";
export type { ServerOptions } from "./src/options/server.ts";
export type { CertificateOptions, NamedCertificate, TlsOptions } from "./src/options/tls.ts";
export type { PeerCertificate } from "./src/core/peer_certificate.ts";
export type { Answer, Handler, ServeInfo, ServeOptions } from "./src/options/serve.ts";
export type { Limits } from "./src/options/limits.ts";
export type { BunOptions, DenoOptions, NativeOptions, NodeOptions } from "./src/options/native.ts";
export type { ShutdownOptions } from "./src/options/shutdown.ts";
export type { WebSocketClosing } from "./src/options/hijacked.ts";
export type { ServerWebSocket, WebSocketHandlers } from "./src/options/websocket.ts";
export type { ConnInfo, ConnState } from "./src/core/conn.ts";
export type { Addr } from "./src/core/addr.ts";
export type { NativeServer } from "./src/runtime/native_servers.ts";
export type { NodeNativeServer } from "./src/runtime/node/adopt.ts";
export type { DenoNativeServer } from "./src/runtime/deno/adopt.ts";
export type { BunNativeServer } from "./src/runtime/bun/adopt.ts";
export type { Engine } from "./src/options/serve.ts";
export type { ShutdownReport } from "./src/core/report.ts";
export {
  BodyTooLargeError,
  ServerClosedError,
  ShutdownIncompleteError,
  UpgradeError,
} from "./src/core/errors.ts";
