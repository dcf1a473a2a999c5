/**
 * The Node engine: `node:http`, or `node:http2` with TLS, and a table of its connections. It runs
 * on Node, and on Deno and Bun through their own `node:` modules.
 */
import http from "node:http";
import net from "node:net";
import process from "node:process";
import { NodeRequest, sendNodeResponse } from "srvx/node";
import { pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import { type Handler, refuseUnsendable, type ServeSettings } from "../../options/serve.ts";
import { RequestInfo } from "../../server/request_info.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import type { StartedDriver } from "../../server/driver.ts";
import type { NodeConn } from "./conn.ts";
import type { Exchange } from "./protocol.ts";
import { NodeDriver, type NodeServer } from "./driver.ts";
import { listen, peerAddr } from "./listen.ts";

/** Starts a server on `node:http`. */
export async function startNode(handler: Handler, settings: ServeSettings): Promise<StartedDriver> {
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
  // From here on an error of the listener is not one of starting it.
  listener.on("error", (error) => void settings.onError(error));
  return driver;
}

/**
 * How long an idle connection stays open, in ms: longer than the 60 s of most load balancers, whose next
 * request would cross the close. The default of node is 5 s. The other engines leave it to clients.
 */
const KEEP_ALIVE_TIMEOUT = 65_000;

async function createServer(tls: ServeSettings["tls"]): Promise<NodeServer> {
  const server = await createNodeServer(tls);
  // Of both kinds of server: that of HTTP/2 has it for its connections of HTTP/1.
  return Object.assign(server, { keepAliveTimeout: KEEP_ALIVE_TIMEOUT });
}

async function createNodeServer(tls: ServeSettings["tls"]): Promise<NodeServer> {
  if (tls === undefined) return http.createServer();
  const { createSecureServer } = await import("node:http2");
  return createSecureServer({ ...tls, allowHTTP1: true });
}

/**
 * What accepts for an `http.Server` without TLS: the server itself, but on Bun, whose `node:http`
 * shows a connection only with its first bytes, a server of `node:net` that hands each one over.
 */
function plainListener(server: NodeServer): net.Server {
  if (!("bun" in process.versions)) return server;
  return net.createServer(
    { allowHalfOpen: true, noDelay: true },
    (socket) => server.emit("connection", socket),
  );
}

/** Turns the requests of `node:http` into those of a fetch handler. */
function responder(
  handler: Handler,
  settings: ServeSettings,
  driver: NodeDriver,
): (req: Exchange["req"], res: Exchange["res"]) => void {
  const { onError } = settings;

  function onRequest(req: Exchange["req"], res: Exchange["res"]): void {
    const conn = driver.begin(req, res);
    if (conn === undefined) return;
    let response: Response | Promise<Response>;
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
    pending: Promise<Response>,
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

  /** What could not be sent is an error of the handler, unless its beginning was. */
  function failSending(conn: NodeConn, res: Exchange["res"], error: unknown): void {
    if (!res.headersSent) return void fail(conn, res, error);
    void onError(error);
    res.destroy();
  }

  /** An error that is nothing but the end of the connection has nobody to be answered or told. */
  async function fail(conn: NodeConn, res: Exchange["res"], error: unknown): Promise<void> {
    if (conn.socket.destroyed && isEndOfConnection(error)) return;
    send(conn, res, await onError(error));
  }

  function send(conn: NodeConn, res: Exchange["res"], response: Response): void {
    conn.sending(res);
    // The cast: of both kinds of response srvx uses what they have in common.
    sendNodeResponse(res as http.ServerResponse, response).then(() => {
      // A body that failed has taken the socket with it; Deno tells it of that one alone.
      const errored = res.errored ?? conn.socket.errored;
      if (errored && !isEndOfConnection(errored)) onError(errored);
    }, (error) => failSending(conn, res, error));
  }

  return onRequest;
}

/** Throws unless a response can be sent. A FastResponse of srvx can be, and checking it would slow it down. */
function refuseUnlessSendable(response: Response): void {
  if (response instanceof Response && "_toNodeResponse" in response) return;
  refuseUnsendable(response);
}

/** Whether an error says that the connection has ended, by the client or by close(). */
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
