/**
 * The Node engine: a server of `node:http`, or of `node:http2` with TLS, and a table of its connections.
 * The engine runs on Node, and on Deno and Bun through their `node:` modules.
 */
import http from "node:http";
import net from "node:net";
import process from "node:process";
import { NodeRequest } from "srvx/node";
import { pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import {
  type Answer,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import { RequestInfo } from "../../server/request_info.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import type { StartedDriver } from "../../server/driver.ts";
import type { NodeConn } from "./conn.ts";
import type { Exchange } from "./protocol.ts";
import { NodeDriver, type NodeServer } from "./driver.ts";
import { listen, peerAddr } from "./listen.ts";
import { replaceGlobals } from "./replace_globals.ts";
import { BodyError, sendResponse } from "./send.ts";

/** Starts a server on `node:http`, or on `node:http2` with TLS. */
export async function startNode(handler: Handler, settings: ServeSettings): Promise<StartedDriver> {
  if (settings.replaceGlobals) replaceGlobals();
  const server = await createServer(settings.tls);
  const listener = settings.tls === undefined ? plainListener(server) : server;
  const driver = new NodeDriver(listener, {
    secure: settings.tls !== undefined,
    onConnState: settings.onConnState,
    addr: settings.socket,
    backlog: settings.backlog,
    seesStreams: false,
    isAdopted: false,
  });
  server.on("request", responder(handler, settings, driver));
  if (settings.socket === undefined) await listen(listener, settings);
  // Errors of the listener from here on are not errors of starting the server.
  listener.on("error", (error) => void settings.onError(error));
  return driver;
}

/**
 * The number of milliseconds that an idle connection stays open. Most load balancers reuse a connection for
 * up to 60 s; if the server closed it earlier, the next request of a load balancer could cross the close.
 * Node's default is 5 s. The other engines let clients close idle connections.
 */
const KEEP_ALIVE_TIMEOUT = 65_000;

async function createServer(tls: ServeSettings["tls"]): Promise<NodeServer> {
  const server = await createNodeServer(tls);
  // Both kinds of server have this option; an HTTP/2 server uses it for its HTTP/1 connections.
  return Object.assign(server, { keepAliveTimeout: KEEP_ALIVE_TIMEOUT });
}

async function createNodeServer(tls: ServeSettings["tls"]): Promise<NodeServer> {
  if (tls === undefined) return http.createServer();
  const { createSecureServer } = await import("node:http2");
  return createSecureServer({ ...tls, allowHTTP1: true });
}

/**
 * Returns the listener of an `http.Server` without TLS. On Node and Deno the listener is the server itself.
 * On Bun it is a server of `node:net` that passes each connection to the HTTP server, because Bun's
 * `node:http` shows a connection only with its first bytes.
 */
function plainListener(server: NodeServer): net.Server {
  if (!("bun" in process.versions)) return server;
  return net.createServer(
    { allowHalfOpen: true, noDelay: true },
    (socket) => server.emit("connection", socket),
  );
}

/** Returns a "request" listener for a Node server that answers each request with a fetch handler. */
function responder(
  handler: Handler,
  settings: ServeSettings,
  driver: NodeDriver,
): (req: Exchange["req"], res: Exchange["res"]) => void {
  const { onError } = settings;

  function onRequest(req: Exchange["req"], res: Exchange["res"]): void {
    const conn = driver.begin(req, res);
    if (conn === undefined) return;
    let response: ReturnType<Handler>;
    try {
      // The cast: srvx declares its class as the ServerRequest that it extends with its own fields.
      const request = new NodeRequest({ req, res } as never) as unknown as Request;
      response = handler(request, new NodeInfo(req, res, settings));
      if (!(response instanceof Promise)) refuseUnlessSendable(response);
    } catch (error) {
      fail(conn, res, error);
      return;
    }
    if (response instanceof Promise) answerLater(conn, res, response);
    else send(conn, res, response);
  }

  async function answerLater(
    conn: NodeConn,
    res: Exchange["res"],
    pending: Promise<Answer>,
  ): Promise<void> {
    conn.startHandler();
    try {
      const response = await pending;
      refuseUnlessSendable(response);
      send(conn, res, response);
    } catch (error) {
      fail(conn, res, error);
    } finally {
      driver.endHandler(conn);
    }
  }

  /**
   * Handles a response that could not be sent. If its head is not sent, the error counts as an error of the
   * handler; otherwise the error is reported and the response is destroyed.
   */
  function failSending(conn: NodeConn, res: Exchange["res"], error: unknown): void {
    if (error instanceof BodyError) return report(error.cause);
    if (!res.headersSent) return void fail(conn, res, error);
    void onError(error);
    res.destroy();
  }

  /** Reports an error after which there is nothing to answer. */
  function report(error: unknown): void {
    if (!isEndOfConnection(error)) void onError(error);
  }

  /**
   * Answers a request with the result of `onError`. Ignores an error that only says that the connection has
   * ended.
   */
  async function fail(conn: NodeConn, res: Exchange["res"], error: unknown): Promise<void> {
    if (conn.socket.destroyed && isEndOfConnection(error)) return;
    send(conn, res, await onError(error));
  }

  function send(conn: NodeConn, res: Exchange["res"], response: Response): void {
    conn.sending(res);
    sendResponse(res, response, (error) => {
      if (error !== undefined) return failSending(conn, res, error);
      // Deno sets `errored` on the socket only.
      const errored = res.errored ?? conn.socket.errored;
      if (errored) report(errored);
    });
  }

  return onRequest;
}

/**
 * Throws unless a value is a response that can be sent. A FastResponse of srvx is accepted unchecked,
 * because reading its properties would slow it down.
 */
function refuseUnlessSendable(response: Answer): asserts response is Response {
  if (response instanceof Response && "_toNodeResponse" in response) return;
  refuseUnsendable(response);
}

/** Returns whether an error only says that the connection was ended by the client or by `close()`. */
function isEndOfConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === "AbortError") return true;
  if (!("code" in error)) return false;
  return error.code === "ECONNRESET" || error.code === "EPIPE" || error.code === "ECANCELED";
}

class NodeInfo extends RequestInfo {
  readonly native: Exchange;

  constructor(req: Exchange["req"], res: Exchange["res"], scope: RequestScope) {
    super(scope);
    this.native = { req, res };
  }

  get remoteAddr(): Addr {
    return peerAddr(this.native.req.socket);
  }

  protected override onEnd(release: () => void): void {
    this.native.res.once("close", release);
  }

  protected override inFlight(): RequestInFlight {
    const { method = "", url = "" } = this.native.req;
    return { method, path: pathOf(url), since: performance.now() };
  }
}
