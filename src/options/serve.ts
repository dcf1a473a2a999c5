import type { Addr } from "../core/addr.ts";
import { attempt } from "../core/attempt.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { PeerCertificate } from "../core/peer_certificate.ts";
import type { PendingWork } from "../core/pending_work.ts";
import { reportError } from "../core/report_error.ts";
import type { RequestScope } from "../core/request_scope.ts";
import { checkHandler, checkObject, checkType, refuse } from "./checks.ts";
import {
  checkLimits,
  LIMIT_NAMES,
  type Limits,
  type LimitSettings,
  limitSettings,
} from "./limits.ts";
import { checkNames, type OptionNames } from "./names.ts";
import { SERVE_REPLACEMENTS } from "./foreign_names.ts";
import { checkNative, type NativeOptions, type NativeSettings, nativeSettings } from "./native.ts";
import {
  checkServer,
  SERVER_NAMES,
  type ServerOptions,
  type ServerSettings,
  serverSettings,
} from "./server.ts";
import { checkTls, TLS_NAMES, type TlsOptions, type TlsSettings } from "./tls.ts";
import type { WebSocketHandlers } from "./websocket.ts";

/** The second argument of a {@linkcode Handler}: what a handler can use in addition to the request. */
export interface ServeInfo {
  /** The client's address. */
  readonly remoteAddr: Addr;
  /**
   * A signal that aborts when the server starts to drain. A handler should then end a response that would
   * otherwise never end. The signal belongs to this request, and its listeners are dropped when the
   * request is over. The request of a WebSocket is over when the WebSocket has closed. An error that a
   * listener throws is reported on the console, and stops nothing.
   */
  readonly draining: AbortSignal;
  /**
   * The certificate of the client. Undefined without `requestCert`, if the client has sent none, or once the
   * client has left.
   */
  readonly peerCertificate: PeerCertificate | undefined;
  /**
   * Makes a shutdown wait for work that continues after the response, until the promise settles. Like the
   * request, the work is listed as active in `connections()` and in reports. A rejection is reported on the
   * console. `close()` does not wait for the work. The function needs no `this`, and throws a TypeError if
   * its argument is not a promise.
   */
  readonly waitUntil: (promise: PromiseLike<unknown>) => void;
  /**
   * The objects that the engine passes to its own handlers: `{ req, res }` of `node:http` with `"node"`,
   * the `Deno.ServeHandlerInfo` with `"deno"` and `"deno-serve"`, the `Bun.Server` with `"bun"`.
   */
  readonly native: unknown;
}

/**
 * What a {@linkcode Handler} returns: a response, or nothing if it has upgraded the request, as handlers on
 * Bun do.
 */
export type Answer = Response | undefined | void;

/**
 * A function that answers a request. If the function throws or rejects, or returns nothing without having
 * upgraded the request, {@linkcode ServeOptions.onError} makes the response.
 */
export type Handler = (request: Request, info: ServeInfo) => Answer | Promise<Answer>;

/** The name of an engine, which runs the HTTP of a server. */
export type Engine = "node" | "deno" | "deno-serve" | "bun";

/** Options of {@linkcode serve}. `Data` is the type of what WebSockets carry with the engine `"bun"`. */
export interface ServeOptions<On extends Engine = Engine, Data = unknown>
  extends ServerOptions, TlsOptions, Limits, NativeOptions {
  /**
   * The protocols that clients can choose from by ALPN. A client that offers both gets HTTP/2. Without
   * `"h2"` the server speaks only HTTP/1. This option needs `cert`.
   *
   * @default {["h2", "http/1.1"]}
   */
  alpnProtocols?: readonly ("h2" | "http/1.1")[];
  /**
   * The engine that runs the HTTP. `"auto"` is the fastest engine of this runtime that keeps all promises
   * of a shutdown. `"node"` exists on all three runtimes, `"deno"` and `"deno-serve"` on Deno, `"bun"` on
   * Bun.
   *
   * @default {"auto"}
   */
  engine?: "auto" | On;
  /**
   * Whether the engine `"node"` may replace the global `Response`, `Request` and `fetch` of Node, for the
   * rest of the process. The replacements behave like Node's own, and create Node's objects only when they
   * are needed. With Node's own `Response` a short request costs about a third more. On Deno and Bun, and
   * with other engines, the option has no effect.
   *
   * @default {false}
   */
  replaceGlobals?: boolean;
  /**
   * A function that is called with what the handler threw, and that makes the response. The function is
   * also called with errors for which no response can be made: a body that failed while it was sent (Bun
   * does not report this), or a listener that cannot accept. The return value is then ignored. It is not called with
   * an error that only says that the client has left in the middle of its request.
   *
   * The default function writes the error to the console and answers 500.
   */
  onError?: (error: unknown) => Response | Promise<Response>;
  /**
   * The WebSocket handlers and options of the engine `"bun"`, passed on as they are: an object for
   * `Bun.serve`, or what `hono/bun`, `crossws` and others export for it. Other engines refuse this option.
   */
  websocket?: WebSocketHandlers<Data>;
}

/** The settings that the driver of an HTTP server gets from checked {@linkcode ServeOptions}. */
export interface ServeSettings extends ServerSettings {
  readonly tls: TlsSettings | undefined;
  readonly replaceGlobals: boolean;
  readonly pendingWork: PendingWork;
  readonly onError: (error: unknown) => Response | Promise<Response>;
  readonly onConnState: ((state: ConnState, conn: ConnInfo) => void) | undefined;
  readonly websocket: WebSocketHandlers | undefined;
  readonly limits: LimitSettings;
  /** The options of the runtimes' own servers. Names whose value is undefined are left out. */
  readonly native: NativeSettings;
}

const NAMES: OptionNames<ServeOptions> = {
  ...SERVER_NAMES,
  ...TLS_NAMES,
  ...LIMIT_NAMES,
  alpnProtocols: true,
  engine: true,
  replaceGlobals: true,
  onError: true,
  websocket: true,
  node: true,
  deno: true,
  bun: true,
};

/** The protocols of the option `alpnProtocols`. */
export const HTTP_PROTOCOLS: readonly string[] = ["h2", "http/1.1"];

const ENGINES: readonly string[] = ["auto", "node", "deno", "deno-serve", "bun"];

/** Throws unless the handler is a function and the options are valid for `serve`. */
export function checkServe(handler: unknown, options: ServeOptions): void {
  checkHandler("serve(app.fetch, { port })", handler);
  checkNames("serve", options, NAMES, SERVE_REPLACEMENTS);
  const as = (name: string) => `serve as '${name}'`;
  checkServer(as, options);
  checkLimits(as, options);
  checkNative(options);
  checkTls(as, options);
  for (const protocol of options.alpnProtocols ?? []) {
    if (!HTTP_PROTOCOLS.includes(protocol)) {
      refuse(as("alpnProtocols"), `of ${HTTP_PROTOCOLS.join(", ")}`, protocol);
    }
  }
  checkType(as("onError"), options.onError, "function");
  if (options.websocket !== undefined) checkObject(as("websocket"), options.websocket);
  checkType(as("replaceGlobals"), options.replaceGlobals, "boolean");
  if (options.engine !== undefined && !ENGINES.includes(options.engine)) {
    refuse(as("engine"), `one of ${ENGINES.join(", ")}`, options.engine);
  }
}

/** Returns the settings for checked options, with all defaults. `socket` becomes the setting of that name. */
export function serveSettings(
  options: ServeOptions,
  { drainNotice, pendingWork }: RequestScope,
  socket: Addr | undefined,
  tls?: TlsSettings,
): ServeSettings {
  return {
    ...serverSettings(options, drainNotice, socket),
    tls,
    replaceGlobals: options.replaceGlobals ?? false,
    pendingWork,
    onError: neverFailing(options.onError ?? answerWith500),
    onConnState: options.onConnState && reported(options.onConnState),
    websocket: options.websocket,
    limits: limitSettings(options),
    native: nativeSettings(options),
  };
}

/**
 * Returns an error handler that answers 500 if `onError` itself fails. Without this, the client would be
 * left waiting, or the process would end.
 */
function neverFailing(onError: NonNullable<ServeOptions["onError"]>): ServeSettings["onError"] {
  return async (error) => {
    try {
      const response = await onError(error);
      refuseUnsendable(response);
      return response;
    } catch (failure) {
      return answerWith500(failure);
    }
  };
}

/**
 * Returns a callback that reports on the console what `onConnState` throws or rejects with, so that such an
 * error does not affect the connection.
 */
function reported(
  onConnState: NonNullable<ServeOptions["onConnState"]>,
): NonNullable<ServeOptions["onConnState"]> {
  return (state, conn) => {
    attempt(() => onConnState(state, conn));
  };
}

/**
 * Throws a TypeError unless an engine can send `response`: it must be a Response other than
 * `Response.error()`, and its body must be unused.
 */
export function refuseUnsendable(response: unknown): asserts response is Response {
  if (!(response instanceof Response)) refuse("answer as the response", "a Response", response);
  // Reading `type` instead of `status` would keep Deno from sending the response by its fast path.
  if (response.status === 0) {
    refuse("answer as the response", "a Response other than Response.error()", "error");
  }
  if (response.bodyUsed) {
    refuse("answer as the response", "a Response whose body is unused", "used");
  }
}

function answerWith500(error: unknown): Response {
  reportError(error);
  return new Response("Internal Server Error", { status: 500 });
}
