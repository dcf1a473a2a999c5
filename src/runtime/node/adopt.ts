/**
 * Adoption of servers that were created outside this package, by `node:http`, `node:https`, `node:http2`,
 * `node:net` or `node:tls`.
 */
import type http from "node:http";
import type http2 from "node:http2";
import type net from "node:net";
import type { ServeSettings } from "../../options/serve.ts";
import { BunNodeDriver, runsOnBunServe } from "./driver_on_bun.ts";
import type { Addr } from "../../core/addr.ts";
import { NodeDriver } from "./driver.ts";
import { nodeHttps } from "../host/http_modules.ts";
import { internals } from "./internals.ts";
import { LateNodeDriver, REQUEST_EVENTS } from "./late_driver.ts";
import { openConnections } from "./open_connections.ts";

/** A server of a `node:` module, on any of the three runtimes. */
export type NodeNativeServer = net.Server;

/** Returns whether a value looks like a {@linkcode NodeNativeServer}. */
export function isNodeServer(value: unknown): value is NodeNativeServer {
  return typeof value === "object" && value !== null && "listen" in value && "address" in value &&
    "getConnections" in value && "on" in value;
}

/** Creates the driver of a server that was created outside this package. */
export function adoptNode(
  server: NodeNativeServer,
  onConnState: ServeSettings["onConnState"],
): LateNodeDriver | NodeDriver {
  if (onConnState !== undefined || !internals.canFindConnections(server)) {
    const driver = trackNode(server, onConnState, undefined);
    for (const open of openConnections(server)) driver.addOpen(open);
    return driver;
  }
  return new LateNodeDriver(server, (addr) => trackNode(server, undefined, addr));
}

/** Only TLS servers have `addContext`. On Bun a server of node:https lacks it. */
function isSecure(server: NodeNativeServer, onBunServe: boolean): boolean {
  return onBunServe ? server instanceof nodeHttps().Server : "addContext" in server;
}

/** Creates the driver that knows the connections that a server accepts from now on. */
function trackNode(
  server: NodeNativeServer,
  onConnState: ServeSettings["onConnState"],
  addr: Addr | undefined,
): NodeDriver {
  const isHttp2 = speaksHttp2(server);
  const onBunServe = runsOnBunServe(server, isHttp2);
  const Driver = onBunServe ? BunNodeDriver : NodeDriver;
  const driver = new Driver(server, {
    secure: isSecure(server, onBunServe),
    onConnState,
    addr,
    backlog: undefined,
    seesStreams: isHttp2,
    isAdopted: true,
    native: server,
  });
  const { hooks } = driver;
  if (isHttp2) {
    hooks.inFrontOfOthers(
      "stream",
      (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) =>
        driver.beginStream(stream, headers),
    );
  }
  for (const event of REQUEST_EVENTS) {
    hooks.inFrontOfOthers(
      event,
      (req: http.IncomingMessage, res: http.ServerResponse) => void driver.begin(req, res),
    );
  }
  for (const event of ["upgrade", "connect"]) {
    hooks.inFrontOfOthers(
      event,
      (_req: unknown, socket: net.Socket | http2.Http2ServerResponse) => {
        // With HTTP/2 a tunnel is a stream of a session, not a connection.
        if (!("stream" in socket)) driver.hijack(socket);
      },
    );
  }
  return driver;
}

function speaksHttp2(server: NodeNativeServer): boolean {
  return "updateSettings" in server;
}
