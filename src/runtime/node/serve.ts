/**
 * The Node engine: a server of `node:http`, or with TLS of `node:http2` or `node:https`, and a table of its
 * connections.
 * The engine runs on Node, and on Deno and Bun through their `node:` modules.
 */
import http from "node:http";
import net from "node:net";
import process from "node:process";
import { NodeRequest } from "srvx/node";
import { pathOf, type RequestInFlight } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { PeerCertificate } from "../../core/peer_certificate.ts";
import {
  type Answer,
  type Handler,
  refuseUnsendable,
  type ServeSettings,
} from "../../options/serve.ts";
import type { LimitSettings } from "../../options/limits.ts";
import { RequestInfo } from "../../server/request_info.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import type { Driver } from "../../server/driver.ts";
import type { ServedCertificates } from "../../server/served_certificates.ts";
import type { NodeConn } from "./conn.ts";
import type { Exchange } from "./protocol.ts";
import { endAtCancel } from "./canceled_body.ts";
import { NodeDriver, type NodeServer } from "./driver.ts";
import { listen, peerAddr } from "./listen.ts";
import { rememberingDescriptor } from "./listener_descriptors.ts";
import { peerCertificateOf } from "./peer_certificate.ts";
import { replaceGlobals } from "./replace_globals.ts";
import { BodyError, sendResponse } from "./send.ts";
import { isFastResponse } from "./srvx_internals.ts";

/** Starts a server on `node:http`, or with TLS on `node:http2` or `node:https`. */
export async function startNode(handler: Handler, settings: ServeSettings): Promise<Driver> {
  if (settings.replaceGlobals) replaceGlobals();
  const limits = timeLimits(settings);
  const { server, listener, certificates } = await createServer(settings, limits);
  const driver = new NodeDriver(listener, {
    secure: settings.tls !== undefined,
    certificates,
    onConnState: settings.onConnState,
    addr: settings.socket,
    backlog: settings.backlog,
    seesStreams: false,
    isAdopted: false,
    native: server,
  });
  driver.limitTimes({ ...limits, idleTimeout: limits.idleTimeout + idleTimeoutBuffer(settings) });
  server.on("request", responder(handler, settings, driver));
  if (settings.socket === undefined) {
    await rememberingDescriptor(listener, () => listen(listener, settings));
  }
  // Errors of the listener from here on are not errors of starting the server.
  listener.on("error", (error) => void settings.onError(error));
  return driver;
}

/** An HTTP server, and the server that accepts its connections. On Node they are the same object. */
interface Servers {
  readonly server: NodeServer;
  readonly listener: net.Server;
  readonly certificates?: ServedCertificates;
}

async function createServer(
  { tls, native }: ServeSettings,
  { idleTimeout, headerTimeout }: TimeLimits,
): Promise<Servers> {
  const options = {
    ...native.node,
    keepAliveTimeout: milliseconds(idleTimeout),
    // Node refuses a `headersTimeout` that is longer than `requestTimeout`. The shorter time applies anyway.
    headersTimeout: milliseconds(Math.min(headerTimeout, requestTimeout(native.node))),
  };
  const servers = tls === undefined
    ? plainServers(options)
    : await (await import("./secure_servers.ts")).secureHttpServer(tls, options);
  // HTTP/2 servers ignore this option for their HTTP/1 connections, and so do some runtimes.
  Object.assign(servers.server, { keepAliveTimeout: options.keepAliveTimeout });
  return servers;
}

/** Returns the time in which a whole request must arrive. Node's default is 300 s. */
function requestTimeout({ requestTimeout: given }: ServeSettings["native"]["node"]): number {
  return limitOf(given) ?? 300_000;
}

type TimeLimits = Pick<LimitSettings, "idleTimeout" | "headerTimeout">;

/** Returns the time limits. The checks of the options refuse Node's names for them if ours are given too. */
function timeLimits({ limits, native }: ServeSettings): TimeLimits {
  const { keepAliveTimeout, headersTimeout } = native.node;
  return {
    idleTimeout: limitOf(keepAliveTimeout) ?? limits.idleTimeout,
    headerTimeout: limitOf(headersTimeout) ?? limits.headerTimeout,
  };
}

/** Returns the time for which an idle connection is kept beyond the time that its client is told. */
function idleTimeoutBuffer({ native: { node } }: ServeSettings): number {
  const { keepAliveTimeoutBuffer } = node;
  return typeof keepAliveTimeoutBuffer === "number" ? keepAliveTimeoutBuffer : 0;
}

/** Returns the limit for the value of an option of Node, where 0 means no limit. Node checks other values. */
function limitOf(value: unknown): number | undefined {
  return typeof value === "number" ? value || Infinity : undefined;
}

function milliseconds(limit: number): number {
  return limit === Infinity ? 0 : Math.ceil(limit);
}

/**
 * Returns an `http.Server`, which listens itself on Node and Deno. On Bun a server of `node:net` listens and
 * passes each connection to the HTTP server, because Bun's `node:http` shows a connection only with its
 * first bytes.
 */
function plainServers(options: http.ServerOptions): Servers {
  const server = http.createServer(options);
  if (!("bun" in process.versions)) return { server, listener: server };
  const { noDelay = true, keepAlive, keepAliveInitialDelay, highWaterMark } = options;
  const listener = net.createServer(
    { allowHalfOpen: true, noDelay, keepAlive, keepAliveInitialDelay, highWaterMark },
    (socket) => server.emit("connection", socket),
  );
  return { server, listener };
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
    endAtCancel(req);
    let response: ReturnType<Handler>;
    try {
      // The cast: srvx declares its class as the ServerRequest that it extends with its own fields.
      const request = new NodeRequest({ req, res } as never) as unknown as Request;
      response = handler(request, new NodeInfo(req, res, conn, settings));
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

  /** Reports an error for which no response can be sent. */
  function report(error: unknown): void {
    if (!isEndOfConnection(error)) void onError(error);
  }

  /**
   * Answers a request with the result of `onError`. Ignores an error that only says that the connection, or the
   * HTTP/2 stream, has ended.
   */
  async function fail(conn: NodeConn, res: Exchange["res"], error: unknown): Promise<void> {
    // When a client resets a stream, Deno destroys the stream only later.
    const isGone = conn.socket.destroyed ||
      ("stream" in res && (res.stream.destroyed || res.stream.aborted));
    if (isGone && isEndOfConnection(error)) return;
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
  if (response instanceof Response && isFastResponse(response)) return;
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
  readonly #conn: NodeConn;

  constructor(
    req: Exchange["req"],
    res: Exchange["res"],
    conn: NodeConn,
    scope: RequestScope,
  ) {
    super(scope);
    this.native = { req, res };
    this.#conn = conn;
  }

  override get peerCertificate(): PeerCertificate | undefined {
    return peerCertificateOf(this.#conn.socket);
  }

  /**
   * Node's request, under the name by which Hono's helpers for Node look for it in the second argument of a
   * handler.
   */
  get incoming(): Exchange["req"] {
    return this.native.req;
  }

  /** Node's response, under the name by which Hono's helpers for Node look for it. */
  get outgoing(): Exchange["res"] {
    return this.native.res;
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
