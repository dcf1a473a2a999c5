import { attempt } from "../core/attempt.ts";
import { reportError } from "../core/report_error.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { Addr } from "../core/addr.ts";
import { checkSignal, checkText, checkType, refuse } from "./checks.ts";
import { checkAddress, listenAddress, type Listener } from "./listen.ts";
import type { DrainNotice } from "../core/drain_notice.ts";
import type { PendingWork } from "../core/pending_work.ts";
import type { RequestScope } from "../core/request_scope.ts";
import type { WebSocketHandlers } from "./websocket.ts";

/** What a handler is told beside the request. */
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

/** What runs the HTTP of a server. */
export type Engine = "node" | "deno" | "deno-serve" | "bun";

/** Options of {@linkcode serve}. */
export interface ServeOptions {
  /**
   * The TCP port, 0 to 65535. 0 lets the system choose one: see `server.addr`.
   *
   * @default {8000}
   */
  port?: number;
  /**
   * The address to listen on, or a name for it.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * Listen on a unix socket at this path instead of on TCP. There must be no file at the path;
   * the socket's file is removed when the listener closes. Deno asks for `--allow-read` and
   * `--allow-write` of it.
   */
  path?: string;
  /** The certificate chain in PEM: TLS, with HTTP/2 where the client speaks it. Needs `key`. */
  cert?: string;
  /** The private key in PEM. Needs `cert`. */
  key?: string;
  /** How many connections may wait in the accept queue. The default is the runtime's. */
  backlog?: number;
  /**
   * Set SO_REUSEPORT, so that several processes can listen on one port. Deno asks for
   * `--unstable-net`.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * Makes the listener one that a successor can take over, and says how: `"inherit"` passes it the
   * descriptor, so that there is one accept queue; with `"reuseport"` both processes bind with
   * SO_REUSEPORT, and the kernel is told to send every new connection to the newer one. `"auto"` is
   * `"inherit"`, which has nothing to wait for and is as fast. `"reuseport"` falls back to it, with
   * a warning, where the kernel cannot be told: on Node, and for unix sockets.
   *
   * The default is that the listener is not handed on. An inherited one is taken over all the same.
   *
   * @throws {UpgradeError} From `serve`, on Deno without `--allow-ffi`, and on Deno and Bun on
   * another system than Linux.
   */
  handoff?: "auto" | "inherit" | "reuseport";
  /**
   * The name of a socket that systemd may have passed (`FileDescriptorName=` of its unit), which is
   * taken over whatever its address is. The address of the other options is for where there is none.
   */
  socketName?: string;
  /**
   * What to accept on, instead of `port`, `hostname` or `path`: what {@linkcode listen} returned.
   */
  listener?: Listener;
  /**
   * When aborted, the server closes at once with all its connections, as in `Deno.serve`. Aborted
   * before the server listens, `serve` rejects with its reason.
   */
  signal?: AbortSignal;
  /**
   * What runs the HTTP: `"auto"` is the fastest engine of this runtime that keeps what a shutdown
   * promises, `"node"` is there on all three, `"deno"` and `"deno-serve"` on Deno, `"bun"` on Bun.
   *
   * @default {"auto"}
   */
  engine?: "auto" | Engine;
  /** Called once the server listens. */
  onListen?: (addr: Addr) => void;
  /**
   * Makes the response for what the handler threw, and is told of errors after which there is no
   * response to make: a body that failed while it was sent (but Bun does not tell of it), a listener
   * that cannot accept. What it returns is then ignored.
   *
   * The default writes the error to the console and answers 500.
   */
  onError?: (error: unknown) => Response | Promise<Response>;
  /**
   * Called when a connection enters a state, as Go's `Server.ConnState` is. Not with the engine
   * `"bun"`, which does not show its connections: `"auto"` is then `"node"`.
   */
  onConnState?: (state: ConnState, conn: ConnInfo) => void;
  /**
   * The handlers of WebSockets of the engine `"bun"`, and their options, passed on as they are. Only
   * with that engine.
   */
  websocket?: WebSocketHandlers;
}

/** {@linkcode ServeOptions}, checked and with their defaults. */
export interface ServeSettings {
  /** What was asked for: the port may be 0, and the host a name. */
  readonly listen: Addr;
  /**
   * The socket's address, if the driver is not to listen for itself, but to accept on a socket
   * that it is given later.
   */
  readonly socket: Addr | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
  readonly drainNotice: DrainNotice;
  readonly pendingWork: PendingWork;
  readonly onError: (error: unknown) => Response | Promise<Response>;
  readonly onConnState: ((state: ConnState, conn: ConnInfo) => void) | undefined;
  readonly websocket: WebSocketHandlers | undefined;
}

const ENGINES: readonly string[] = ["auto", "node", "deno", "deno-serve", "bun"];

const HANDOFFS: readonly string[] = ["auto", "inherit", "reuseport"];

/** What has been settled where a listener is given. */
const LISTENERS_OWN = [
  "port",
  "hostname",
  "path",
  "socketName",
  "reusePort",
  "backlog",
  "handoff",
] as const;

function checkListener(as: (name: string) => string, options: ServeOptions): void {
  const { listener, handoff } = options;
  if (handoff !== undefined && !HANDOFFS.includes(handoff)) {
    refuse(as("handoff"), `one of ${HANDOFFS.join(", ")}`, handoff);
  }
  if (handoff === "reuseport" && options.reusePort === false) {
    refuse(as("reusePort"), "true or absent where 'handoff' is \"reuseport\"", false);
  }
  if (listener === undefined) return;
  for (const name of LISTENERS_OWN) {
    if (options[name] === undefined) continue;
    refuse(as(name), "absent where 'listener' is given", options[name]);
  }
}

/** Refuses a handler that is no function, and options that are out of range. */
export function checkServe(handler: unknown, options: ServeOptions): void {
  if (typeof handler !== "function") refuse("serve as 'handler'", "a function", handler);
  const as = (name: string) => `serve as '${name}'`;
  checkAddress(as, options);
  checkListener(as, options);
  for (const name of ["cert", "key"] as const) checkText(as(name), options[name]);
  for (const name of ["onListen", "onError", "onConnState"] as const) {
    checkType(as(name), options[name], "function");
  }
  checkSignal(as("signal"), options.signal);
  if (options.engine !== undefined && !ENGINES.includes(options.engine)) {
    refuse(as("engine"), `one of ${ENGINES.join(", ")}`, options.engine);
  }
  if ((options.cert === undefined) !== (options.key === undefined)) {
    const missing = options.cert === undefined ? "cert" : "key";
    refuse(as(missing), "given together with its other half, PEM both", undefined);
  }
}

/**
 * {@linkcode ServeOptions} with their defaults, after {@linkcode checkServe}. `socket` is where the
 * driver will be given a socket to accept on, if it will.
 */
export function serveSettings(
  options: ServeOptions,
  { drainNotice, pendingWork }: RequestScope,
  socket: Addr | undefined,
): ServeSettings {
  return {
    listen: listenAddress(options),
    socket,
    tls: options.cert === undefined || options.key === undefined
      ? undefined
      : { cert: options.cert, key: options.key },
    backlog: options.backlog,
    reusePort: options.reusePort ?? false,
    drainNotice,
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

/** Refuses what no engine can send: what is no Response, a used one, and `Response.error()`. */
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
