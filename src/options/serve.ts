import type { Addr } from "../core/addr.ts";
import { attempt } from "../core/attempt.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { PendingWork } from "../core/pending_work.ts";
import { reportError } from "../core/report_error.ts";
import type { RequestScope } from "../core/request_scope.ts";
import { checkText, checkType, refuse } from "./checks.ts";
import { checkServer, type ServerOptions, type ServerSettings, serverSettings } from "./server.ts";
import type { WebSocketHandlers } from "./websocket.ts";

/** The second argument of a handler: what belongs to the request beside the request itself. */
export interface ServeInfo {
  /** The client's address. */
  readonly remoteAddr: Addr;
  /**
   * Aborts when the server starts to drain: end what would go on for ever. The signal belongs to this
   * request, and its listeners are forgotten when the request is over. A listener that throws is
   * reported on the console and stops nothing.
   */
  readonly draining: AbortSignal;
  /**
   * Has a shutdown wait for work that goes on behind the response, until the promise settles. Like the
   * request, the work is listed in `connections()` and in reports as active. A rejection is reported on
   * the console. `close()` does not wait for it. The function needs no `this`, and throws a TypeError for
   * what is no promise.
   */
  readonly waitUntil: (promise: PromiseLike<unknown>) => void;
  /**
   * What the engine gives its own handlers: `{ req, res }` of `node:http` with `"node"`, the
   * `Deno.ServeHandlerInfo` with `"deno"` and `"deno-serve"`, the `Bun.Server` with `"bun"`.
   */
  readonly native: unknown;
}

/**
 * Answers a request. What it throws, or rejects with, is answered by
 * {@linkcode ServeOptions.onError}.
 */
export type Handler = (request: Request, info: ServeInfo) => Response | Promise<Response>;

/** The name of an engine, which runs the HTTP of a server. */
export type Engine = "node" | "deno" | "deno-serve" | "bun";

/** Options of {@linkcode serve}. */
export interface ServeOptions extends ServerOptions {
  /** The certificate chain in PEM: turns on TLS, with HTTP/2 for clients that speak it. Needs `key`. */
  cert?: string;
  /** The private key in PEM. Needs `cert`. */
  key?: string;
  /**
   * What runs the HTTP. `"auto"` is the fastest engine of this runtime that keeps what a shutdown promises.
   * `"node"` exists on all three runtimes, `"deno"` and `"deno-serve"` on Deno, `"bun"` on Bun.
   *
   * @default {"auto"}
   */
  engine?: "auto" | Engine;
  /**
   * Makes the response for what the handler threw. It is also told of errors after which there is no
   * response to make: a body that failed while it was sent (Bun does not tell of that), a listener that
   * cannot accept. What it returns is ignored then.
   *
   * The default writes the error to the console and answers 500.
   */
  onError?: (error: unknown) => Response | Promise<Response>;
  /**
   * The handlers of WebSockets of the engine `"bun"`, with their options, passed on as they are. Other
   * engines refuse the option.
   */
  websocket?: WebSocketHandlers;
}

/** What the driver of an HTTP server needs of checked {@linkcode ServeOptions}. */
export interface ServeSettings extends ServerSettings {
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly pendingWork: PendingWork;
  readonly onError: (error: unknown) => Response | Promise<Response>;
  readonly onConnState: ((state: ConnState, conn: ConnInfo) => void) | undefined;
  readonly websocket: WebSocketHandlers | undefined;
}

const ENGINES: readonly string[] = ["auto", "node", "deno", "deno-serve", "bun"];

/** Throws unless the handler is a function, and the options are ones that `serve` takes. */
export function checkServe(handler: unknown, options: ServeOptions): void {
  if (typeof handler !== "function") refuse("serve as 'handler'", "a function", handler);
  const as = (name: string) => `serve as '${name}'`;
  checkServer(as, options);
  for (const name of ["cert", "key"] as const) checkText(as(name), options[name]);
  checkType(as("onError"), options.onError, "function");
  if (options.engine !== undefined && !ENGINES.includes(options.engine)) {
    refuse(as("engine"), `one of ${ENGINES.join(", ")}`, options.engine);
  }
  if ((options.cert === undefined) !== (options.key === undefined)) {
    const missing = options.cert === undefined ? "cert" : "key";
    refuse(as(missing), "given together with its other half, PEM both", undefined);
  }
}

/** Returns checked options with their defaults. `socket` is {@linkcode ServerSettings.socket}. */
export function serveSettings(
  options: ServeOptions,
  { drainNotice, pendingWork }: RequestScope,
  socket: Addr | undefined,
): ServeSettings {
  return {
    ...serverSettings(options, drainNotice, socket),
    tls: options.cert === undefined || options.key === undefined
      ? undefined
      : { cert: options.cert, key: options.key },
    pendingWork,
    onError: neverFailing(options.onError ?? answerWith500),
    onConnState: options.onConnState && reported(options.onConnState),
    websocket: options.websocket,
  };
}

/** A handler of errors that failed itself would leave its client waiting, or end the process. */
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

/** Reports what a callback throws or rejects with, for it is no part of what it is told of. */
function reported(
  onConnState: NonNullable<ServeOptions["onConnState"]>,
): NonNullable<ServeOptions["onConnState"]> {
  return (state, conn) => {
    attempt(() => onConnState(state, conn));
  };
}

/** Throws unless an engine can send `response`: a Response whose body is unused, and no `Response.error()`. */
export function refuseUnsendable(response: unknown): asserts response is Response {
  if (!(response instanceof Response)) refuse("answer as the response", "a Response", response);
  // Not its type, which would cost Deno the short way of sending it.
  if (response.status === 0) refuse("answer as the response", "no network error", "error");
  if (response.bodyUsed) refuse("answer as the response", "one whose body is unused", "used");
}

function answerWith500(error: unknown): Response {
  reportError(error);
  return new Response("Internal Server Error", { status: 500 });
}
