import type http from "node:http";
import type net from "node:net";
import type { Driver } from "./driver.ts";
import { NodeDriver } from "./node_conns.ts";

/** A server that somebody else made: of `node:http` or `node:https`. */
export type NativeServer = http.Server;

/** Whether a value looks like a {@linkcode NativeServer}. */
export function isNodeServer(value: unknown): value is NativeServer {
  return typeof value === "object" && value !== null && "listen" in value && "address" in value &&
    "closeIdleConnections" in value && "on" in value;
}

/** Drives a server that somebody else made. Connections are known from here on. */
export function adoptNode(server: http.Server): Driver {
  const driver = new NodeDriver(server, {
    // A server of node:tls can be given more certificates.
    secure: "addContext" in server,
    onConnState: undefined,
    addr: undefined,
    backlog: undefined,
  });
  const begin = (req: http.IncomingMessage, res: http.ServerResponse) =>
    void driver.begin(req, res);
  server.prependListener("request", begin);
  for (const event of ["checkContinue", "checkExpectation"]) {
    onceListenedTo(server, event, () => void server.prependListener(event, begin));
  }
  for (const event of ["upgrade", "connect"]) {
    onceListenedTo(server, event, () => {
      server.prependListener(event, (_req: unknown, socket: net.Socket) => driver.hijack(socket));
    });
  }
  return driver;
}

/** A listener of these events changes what node does, so there must be none but beside another. */
function onceListenedTo(server: http.Server, event: string, then: () => void): void {
  if (server.listenerCount(event) > 0) return then();
  const onNewListener = (name: string | symbol) => {
    if (name !== event) return;
    server.off("newListener", onNewListener);
    then();
  };
  server.on("newListener", onNewListener);
}
