/**
 * The parts of Deno beyond its public API that this package uses: HTTP on a single connection, the core's
 * table of resources, and the values that Deno keeps in `Request`, `Response`, streams and WebSockets
 * under symbols ("slots"), which are found by their descriptions.
 *
 * Each member looks for its part of Deno when it is called. If a version of Deno lacks the part, or has
 * something else in its place, the member returns the value that its comment names under "Without it", and
 * never throws. `tests/runtimes/internals.test.ts` checks that this version of Deno has the parts, and tests
 * what happens without each of them.
 */
import { ofProcess } from "../../core/process_state.ts";
import {
  deno,
  type DenoConn,
  type DenoHandler,
  type DenoHttpServer,
  type DenoInfo,
  type DenoListener,
} from "../api/deno.ts";

/** The internals of Deno that serve HTTP on one connection, or on all connections of a listener. */
export interface ConnectionServing {
  serveHttpOnConnection(
    conn: DenoConn,
    signal: undefined,
    handler: DenoHandler,
    onError: (error: unknown) => Response | Promise<Response>,
    onListen: () => void,
  ): DenoHttpServer;
  /** Serves HTTP on all connections of a listener, as `Deno.serve` does. */
  serveHttpOnListener?(
    listener: DenoListener,
    signal: undefined,
    handler: DenoHandler,
    onError: (error: unknown) => Response | Promise<Response>,
    onListen: () => void,
  ): DenoHttpServer;
  readonly core: {
    /** Creates a resource of the simplest kind. Returns its id, from which the next id can be derived. */
    createCancelHandle(): number;
    close(resource: number): void;
    tryClose(resource: number): void;
    resources(): Record<number, string>;
  };
}

/** A static response body, which Deno is given whole and not as a stream. */
export type StaticBody = string | Uint8Array;

/** The state of a request body, as far as Deno shows it. */
export interface UploadStream {
  /** Whether the stream is neither closed nor failed, so that a part of it may be left to read. */
  readonly isReadable: boolean;
  /** Whether the stream still reads from a resource of Deno, that is, from the connection. */
  readonly hasResource: boolean;
  /** Whether the stream was read to its end. False if the stream may have been canceled instead. */
  readonly isComplete: boolean;
}

/** The internals of Deno that this package uses. Tests replace single members. */
export interface DenoInternals {
  /**
   * Returns the internals that serve HTTP on a single connection. Deno has had them since 2023.
   *
   * Without it: undefined. The engine `"deno-serve"` replaces `"deno"`. Without `serveHttpOnListener` alone, the
   * engine accepts and serves each connection by itself on every system.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`serveHttpOnConnection`)
   */
  connectionServing(): ConnectionServing | undefined;
  /**
   * Calls `serve`, which starts HTTP on a connection, and returns the id of the resource that this creates.
   * Closing the resource ends the connection at once. Deno does not return the id, so it is derived from the
   * id of a resource that is created just before.
   *
   * Without it: -1, the id of no resource. Such a connection cannot be cut off, and `close()` waits until
   * its requests are answered.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/http_next.rs (`op_http_serve_on`)
   */
  servingResource(core: ConnectionServing["core"], serve: () => void): number;
  /**
   * Returns the key of the option of `Deno.listenTls` that chooses the certificate by the server name. The
   * listener keeps each answer for as long as it lives.
   *
   * Without it: undefined. The option `certificates` needs the engine `"node"`.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/tests/unit/tls_sni_test.ts (`resolverSymbol`)
   */
  certificateResolver(): symbol | undefined;
  /**
   * Returns whether the response to a request has been delivered. The only sign without a cost is the
   * message of the error that `remoteAddr` throws after the delivery.
   *
   * Without it: false. `showsDelivery` becomes false, and {@linkcode Delivery} uses promises instead.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts ("Request closed")
   */
  isDelivered(native: DenoInfo): boolean;
  /** Whether `isDelivered` works on this version of Deno. Undefined until the first delivery shows it. */
  showsDelivery: boolean | undefined;
  /**
   * Returns the WebSocket that belongs to the response of `Deno.upgradeWebSocket`.
   *
   * Without it: undefined. The WebSocket counts as an active request, and is not sent 1001.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`_ws`)
   */
  webSocketOf(response: Response): WebSocket | undefined;
  /**
   * Returns the id of the resource behind a WebSocket.
   *
   * Without it: -1, the id of no resource. `close()` does not cut the WebSocket off.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/websocket/01_websocket.js (`_rid`)
   */
  resourceOf(socket: WebSocket): number;
  /**
   * Sends the close frame of an open WebSocket of the server, and keeps receiving until the client answers
   * it, as RFC 6455 requires. If the owner of the WebSocket has already sent the close frame, only keeps
   * receiving. Meanwhile `readyState` is CLOSING, and messages that the application sends are dropped.
   *
   * Without it: `socket.close()`. If a message of the client crosses the close frame, Deno closes the
   * connection with the message unread, and the kernel drops the data that the client has not received
   * yet.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/websocket/01_websocket.js (`_eventLoop`)
   */
  closeWebSocket(socket: WebSocket, code: number, reason: string): void;
  /**
   * Returns whether a WebSocket of any server of the process is open.
   *
   * Without it: false. An adopted server of `Deno.serve` ends its WebSockets before the application has sent
   * its last messages.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/websocket/lib.rs (`serverWebSocket`)
   */
  hasWebSockets(): boolean;
  /**
   * Returns a header of a request, or null. Does not create the `Headers` object of the request.
   *
   * Without it: the header from the `Headers` object, which costs more.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`InnerRequest.header`)
   */
  headerOf(request: Request, name: string): string | null;
  /**
   * Returns a lower bound of the size in bytes of a request's head. To be called before the request is
   * answered, because Deno then forgets the head.
   *
   * Without it: a bound from the method and the target alone.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`InnerRequest.headerList`)
   */
  leastHeadSize(request: Request): number;
  /**
   * Returns whether Deno is calling a handler with an HTTP/2 request, according to the functions on the call
   * stack. To be called within the handler, for a request without an `upgrade` header. The call takes about 10 µs.
   *
   * Without it: undefined. An HTTP/2 session without TLS then counts as a connection of an unknown protocol.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`nativeDispatch`, `dispatch`)
   */
  isHttp2OnStack(): boolean | undefined;
  /**
   * Returns the state of a request body, or undefined if there is no body, if the whole body arrived together
   * with its head, or if the client is gone.
   *
   * Without it: undefined. A connection whose upload was left unread ends only when its client has sent the
   * whole upload. If only the signs of a complete stream are missing, a complete upload counts as unread.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/web/06_streams.js (`_resourceBacking`, `_state`)
   */
  uploadOf(request: Request): UploadStream | undefined;
  /**
   * Makes Deno read the body of a request piece by piece. Otherwise Deno allocates as many bytes as the
   * request claims, and the process ends if the allocation fails.
   *
   * Without it: nothing changes, and Deno allocates these bytes.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/fetch/22_body.js (`InnerBody`)
   */
  readInPieces(request: Request): void;
  /**
   * Returns the static body of a response, or undefined if the body is a stream or absent.
   *
   * Without it: undefined. A large response counts as delivered as soon as Deno has it, however slowly its
   * client reads.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/fetch/23_response.js ("serve fast body")
   */
  staticBodyOf(response: Response): StaticBody | undefined;
}

/** The internal object of Deno behind a `Request` that its server has created. */
interface InnerRequest {
  header?(name: string): string | null;
  readonly headerList?: readonly (readonly [name: string, value: string])[];
  readonly body?: { streamOrStatic?: object } | null;
}

/** The internal object of Deno behind a `Response`. */
interface InnerResponse {
  readonly body?: { readonly streamOrStatic?: { readonly body?: StaticBody } } | null;
}

/** The symbols of the slots. A symbol is undefined if this version of Deno does not have the slot. */
interface Slots {
  readonly request: symbol | undefined;
  readonly resource: symbol | undefined;
  readonly state: symbol | undefined;
  readonly fastBody: symbol | undefined;
  readonly response: symbol | undefined;
}

const slots = (): Slots => ofProcess(findSlots);

function findSlots(): Slots {
  const stream = new ReadableStream();
  const response = new Response("probe");
  return {
    request: slotOf(new Request("http://probe/"), "request"),
    resource: slotOf(stream, "[[resourceBacking]]"),
    state: slotOf(stream, "[[state]]"),
    fastBody: slotOf(response, "serve fast body"),
    response: slotOf(response, "response"),
  };
}

function slotOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

function valueOf(object: object | undefined, slot: symbol | undefined): unknown {
  // The cast: slots have no types.
  return object && slot && (object as unknown as Record<symbol, unknown>)[slot];
}

function innerOf(request: Request): InnerRequest | undefined {
  // The cast: slots have no types. Every property may be absent.
  return valueOf(request, slots().request) as InnerRequest | undefined;
}

/**
 * Returns whether a closed stream was read to its end, and not canceled. A stream that ends by itself
 * closes during a pull, and the buffer of that pull stays behind. Deno's `text()` and similar methods leave
 * the algorithms of the stream in place. A stream that Deno has piped remembers that its source asked it to
 * close. Canceling the stream clears all of these, and so does `for await`.
 */
function isComplete(stream: object): boolean {
  // The cast: slots have no types.
  const controller = valueOf(stream, slotOf(stream, "[[controller]]")) as object | undefined;
  if (controller === undefined) return false;
  const value = (name: string) => valueOf(controller, slotOf(controller, name));
  // The cast: slots have no types. The property may be absent.
  const buffers = value("[[pendingPullIntos]]") as { readonly size?: unknown } | undefined;
  return value("[[pulling]]") === true || value("[[closeRequested]]") === true ||
    value("[[cancelAlgorithm]]") !== undefined || Number(buffers?.size) > 0;
}

/** The part of V8's call sites that this package uses. */
interface CallSite {
  getFunctionName(): string | null;
}

/** The properties that V8 adds to the constructor `Error`. */
interface V8Error {
  stackTraceLimit: number;
  prepareStackTrace: ((error: unknown, sites: readonly CallSite[]) => unknown) | undefined;
  captureStackTrace(target: object): void;
}

/** Returns the names of the functions on the call stack, the innermost first. */
function functionsOnStack(): readonly (string | null)[] {
  // The cast: the types of other runtimes lack the properties that V8 adds.
  const errors = Error as unknown as V8Error;
  const { stackTraceLimit, prepareStackTrace } = errors;
  const target: { stack?: (string | null)[] } = {};
  try {
    errors.stackTraceLimit = 16;
    errors.prepareStackTrace = (_error, sites) => sites.map((site) => site.getFunctionName());
    errors.captureStackTrace(target);
    return target.stack ?? [];
  } catch {
    // The program has frozen `Error`.
    return [];
  } finally {
    Object.assign(errors, { stackTraceLimit, prepareStackTrace });
  }
}

/** Creates the record of whether resource ids are consecutive, which the first connection shows. */
const newNumbering = (): { isConsecutive?: boolean } => ({});

/**
 * The internal state of a WebSocket that is closing and keeps receiving. The value is none of the four
 * that Deno knows, because Deno ends a CLOSING WebSocket at its next event, and sends pings to an OPEN
 * WebSocket.
 */
const RECEIVING = 4;

const CORE_FUNCTIONS = ["createCancelHandle", "close", "tryClose", "resources"] as const;

/** The internals of this version of Deno. */
export const internals: DenoInternals = {
  connectionServing() {
    const runtime = deno();
    // The cast: internals have no types. The members that this package uses are checked below.
    const found = (runtime as unknown as Record<symbol, Partial<ConnectionServing> | undefined>)[
      runtime.internal
    ];
    const core = found?.core;
    const isThere = typeof found?.serveHttpOnConnection === "function" && core !== undefined &&
      CORE_FUNCTIONS.every((name) => typeof core[name] === "function");
    // The cast: `isThere` means that all members exist.
    return isThere ? found as ConnectionServing : undefined;
  },
  certificateResolver() {
    const runtime = deno();
    // The cast: internals have no types. The member is checked below.
    const found = (runtime as unknown as Record<symbol, { resolverSymbol?: unknown } | undefined>)[
      runtime.internal
    ];
    return typeof found?.resolverSymbol === "symbol" ? found.resolverSymbol : undefined;
  },
  servingResource(core, serve) {
    const last = core.createCancelHandle();
    core.close(last);
    serve();
    const numbering = ofProcess(newNumbering);
    numbering.isConsecutive ??= core.resources()[last + 1] === "http";
    return numbering.isConsecutive ? last + 1 : -1;
  },
  isDelivered(native) {
    try {
      void native.remoteAddr;
      return false;
    } catch (error) {
      // On a unix socket `remoteAddr` always throws, but before the delivery with another message.
      return error instanceof TypeError && error.message === "Request closed";
    }
  },
  showsDelivery: undefined,
  webSocketOf(response) {
    // The cast: slots have no types. Each value is checked below.
    const values = response as unknown as Record<symbol, unknown>;
    return Object.getOwnPropertySymbols(response).map((symbol) => values[symbol])
      .find((value) => value instanceof WebSocket);
  },
  resourceOf(socket) {
    const value = valueOf(socket, slotOf(socket, "[[rid]]"));
    return typeof value === "number" ? value : -1;
  },
  hasWebSockets() {
    // An object that only looks like Deno's server can be adopted on another runtime, which has no
    // `Deno` namespace.
    const resources = deno() && internals.connectionServing()?.core.resources();
    return Object.values(resources ?? {}).includes("serverWebSocket");
  },
  closeWebSocket(socket, code, reason) {
    if (socket.readyState === WebSocket.OPEN) socket.close(code, reason);
    const state = slotOf(socket, "[[readyState]]");
    if (valueOf(socket, state) !== WebSocket.CLOSING) return;
    Object.assign(socket, { [state!]: RECEIVING });
    Object.defineProperty(socket, "readyState", {
      configurable: true,
      get: () => valueOf(socket, state) === WebSocket.CLOSED ? WebSocket.CLOSED : WebSocket.CLOSING,
    });
  },
  headerOf(request, name) {
    const inner = innerOf(request);
    return typeof inner?.header === "function" ? inner.header(name) : request.headers.get(name);
  },
  leastHeadSize(request) {
    const { method, url } = request;
    const target = url.replace(/^[^:]*:\/\/[^/]*/, "");
    // "GET / HTTP/1.1", then the lines "name:value", each with its end, and an empty line.
    let size = method.length + target.length + " / HTTP/1.1\r\n\r\n".length - 1;
    try {
      for (const [name, value] of innerOf(request)?.headerList ?? []) {
        size += name.length + value.length + ":\r\n".length;
      }
    } catch {
      // The request is over.
    }
    return size;
  },
  isHttp2OnStack() {
    const functions = functionsOnStack();
    if (functions.includes("nativeDispatch")) return false;
    return functions.includes("dispatch") ? true : undefined;
  },
  uploadOf(request) {
    const { resource, state } = slots();
    if (resource === undefined || state === undefined) return undefined;
    try {
      const stream = innerOf(request)?.body?.streamOrStatic;
      // A body that arrived together with its head is not a stream until it is read as one.
      if (!(stream instanceof ReadableStream)) return undefined;
      const isClosed = valueOf(stream, state) === "closed";
      return {
        isReadable: valueOf(stream, state) === "readable",
        hasResource: valueOf(stream, resource) != null,
        isComplete: isClosed && isComplete(stream),
      };
    } catch {
      // The client is gone.
      return undefined;
    }
  },
  readInPieces(request) {
    const body = innerOf(request)?.body;
    if (!(body?.streamOrStatic instanceof ReadableStream)) return;
    // Deno does not know the source of a piped stream, and so does not use the claimed length.
    body.streamOrStatic = body.streamOrStatic.pipeThrough(new TransformStream());
  },
  staticBodyOf(response) {
    const { fastBody, response: slot } = slots();
    // The casts: slots have no types. Every property may be absent.
    const fast = valueOf(response, fastBody) as StaticBody | null | undefined;
    const inner = valueOf(response, slot) as InnerResponse | undefined;
    return fast ?? inner?.body?.streamOrStatic?.body;
  },
};

/**
 * The delivery of the response to one request. Once `showsDelivery` is true, `isDelivered` answers without
 * a cost. Until then, and always if `showsDelivery` is false, the promise `completed` of the request is used
 * too, which costs more.
 */
export class Delivery {
  readonly #native: DenoInfo;
  #isDone = false;

  constructor(native: DenoInfo) {
    this.#native = native;
    if (internals.showsDelivery === true) return;
    const done = () => {
      this.#isDone = true;
      internals.showsDelivery ??= internals.isDelivered(native);
    };
    native.completed.then(done, done);
  }

  get isDone(): boolean {
    // The check throws an exception, which is expensive, so it is not repeated after the delivery.
    this.#isDone ||= internals.isDelivered(this.#native);
    return this.#isDone;
  }
}
