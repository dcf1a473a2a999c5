/**
 * Everything that this package uses of Deno beyond its public API: HTTP on a single connection, the
 * core's table of resources, and what Deno keeps behind `Request`, `Response`, streams and WebSockets
 * under symbols ("slots") that are found by their descriptions.
 *
 * Each member is asked for what it reads when it is needed. Where a version of Deno does not have it, or
 * has something else in its place, the member returns what its comment names under "Without it", and never
 * throws. `tests/runtimes/internals.test.ts` shows which ones this version has, and takes each away to see
 * what happens then.
 */
import { ofProcess } from "../../core/process_state.ts";
import {
  deno,
  type DenoConn,
  type DenoHandler,
  type DenoHttpServer,
  type DenoInfo,
} from "../api/deno.ts";

/** The internals of Deno that serve HTTP on one connection. */
export interface ConnectionServing {
  serveHttpOnConnection(
    conn: DenoConn,
    signal: undefined,
    handler: DenoHandler,
    onError: (error: unknown) => Response | Promise<Response>,
    onListen: () => void,
  ): DenoHttpServer;
  readonly core: {
    /** Makes the simplest of resources, whose number tells the number of the next one. */
    createCancelHandle(): number;
    close(resource: number): void;
    tryClose(resource: number): void;
    resources(): Record<number, string>;
  };
}

/** A body that Deno has been given whole. */
export type StaticBody = string | Uint8Array;

/** The body of a request, as far as Deno shows it. */
export interface UploadStream {
  /** Whether a part of the stream is yet to be read. */
  readonly isReadable: boolean;
  /** Whether the stream still has the connection behind it. */
  readonly hasResource: boolean;
  /** Whether the stream was read to its end, as far as that can be told from being cancelled. */
  readonly isComplete: boolean;
}

/** The internals of Deno. Tests replace single members. */
export interface DenoInternals {
  /**
   * Returns what serves HTTP on a connection of one's own, in place since 2023.
   *
   * Without it: the engine `"deno-serve"` takes the place of `"deno"`.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`serveHttpOnConnection`)
   */
  connectionServing(): ConnectionServing | undefined;
  /**
   * Starts HTTP on a connection with `serve`, and returns the number of its resource: closing the resource
   * ends the connection at once. The number is the one after the last that was given out.
   *
   * Without it: -1, which is the number of nothing. Such a connection cannot be cut; `close()` waits until
   * its requests are answered.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/http_next.rs (`op_http_serve_on`)
   */
  servingResource(core: ConnectionServing["core"], serve: () => void): number;
  /**
   * Reports whether the response of a request has been delivered, for which Deno has one sign at no cost:
   * the text of the error that `remoteAddr` throws then.
   *
   * Without it: false. `deliveryIsTold` finds out, and each request is followed by its promise instead.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts ("Request closed")
   */
  isDelivered(native: DenoInfo): boolean;
  /** Whether `isDelivered` works: undefined until the first delivery has shown it. */
  deliveryIsTold: boolean | undefined;
  /**
   * Returns the WebSocket that belongs to the response of `Deno.upgradeWebSocket`.
   *
   * Without it: undefined. The WebSocket counts as an active request, and is not sent 1001.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`_ws`)
   */
  webSocketOf(response: Response): WebSocket | undefined;
  /**
   * Returns the number of the resource behind a WebSocket.
   *
   * Without it: -1, which is the number of nothing. `close()` does not cut the WebSocket.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/websocket/01_websocket.js (`_rid`)
   */
  resourceOf(socket: WebSocket): number;
  /**
   * Returns one header of a request without the `Headers` object that Deno would make.
   *
   * Without it: the header comes from `Headers`, which costs more.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/http/00_serve.ts (`InnerRequest.header`)
   */
  headerOf(request: Request, name: string): string | null;
  /**
   * Returns what Deno knows of the body of a request that is not read yet.
   *
   * Without it: undefined. An upload that is answered unread is waited for until its client has sent it.
   * Where it is not known that a stream is complete, its client is waited for, as for any unread upload.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/web/06_streams.js (`_resourceBacking`, `_state`)
   */
  uploadOf(request: Request): UploadStream | undefined;
  /**
   * Has the body of a request be read in pieces: Deno otherwise allocates as many bytes as the request
   * claims, and the process ends where these are not to be had.
   *
   * Without it: nothing.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/fetch/22_body.js (`InnerBody`)
   */
  readInPieces(request: Request): void;
  /**
   * Returns the body that Deno has been given whole.
   *
   * Without it: undefined. A large response counts as delivered when Deno has it, however slowly its client
   * reads.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/fetch/23_response.js ("serve fast body")
   */
  bodyAtHand(response: Response): StaticBody | undefined;
}

/** The object that Deno keeps behind a `Request` of its server. */
interface InnerRequest {
  header?(name: string): string | null;
  readonly body?: { streamOrStatic?: object } | null;
}

/** The object that Deno keeps behind a `Response`. */
interface InnerResponse {
  readonly body?: { readonly streamOrStatic?: { readonly body?: StaticBody } } | null;
}

/** The symbols of the slots; each is undefined if this version of Deno does not have it. */
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
  // The cast: slots have no types; each step may be absent.
  return valueOf(request, slots().request) as InnerRequest | undefined;
}

/**
 * Reports whether a closed stream has ended by itself: in the middle of a pull, or read by Deno's own
 * `text()` and the like, which leave its algorithms in place. Cancelling a stream clears them.
 */
function isComplete(stream: object): boolean {
  // The cast: slots have no types.
  const controller = valueOf(stream, slotOf(stream, "[[controller]]")) as object | undefined;
  if (controller === undefined) return false;
  return valueOf(controller, slotOf(controller, "[[pulling]]")) === true ||
    valueOf(controller, slotOf(controller, "[[cancelAlgorithm]]")) !== undefined;
}

/** Whether resource numbers are consecutive, which the first connection shows. */
const newNumbering = (): { isConsecutive?: boolean } => ({});

const CORE_FUNCTIONS = ["createCancelHandle", "close", "tryClose", "resources"] as const;

/** The internals of this version of Deno. */
export const internals: DenoInternals = {
  connectionServing() {
    const runtime = deno();
    // The cast: internals have no types. What is used of them is looked for right here.
    const found = (runtime as unknown as Record<symbol, Partial<ConnectionServing> | undefined>)[
      runtime.internal
    ];
    const core = found?.core;
    const isThere = typeof found?.serveHttpOnConnection === "function" && core !== undefined &&
      CORE_FUNCTIONS.every((name) => typeof core[name] === "function");
    // The cast: all of it is there.
    return isThere ? found as ConnectionServing : undefined;
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
      // Of a unix socket it always throws; before the delivery, for another reason.
      return error instanceof TypeError && error.message === "Request closed";
    }
  },
  deliveryIsTold: undefined,
  webSocketOf(response) {
    // The cast: slots have no types, and are only looked through.
    const values = response as unknown as Record<symbol, unknown>;
    return Object.getOwnPropertySymbols(response).map((symbol) => values[symbol])
      .find((value) => value instanceof WebSocket);
  },
  resourceOf(socket) {
    const value = valueOf(socket, slotOf(socket, "[[rid]]"));
    return typeof value === "number" ? value : -1;
  },
  headerOf(request, name) {
    const inner = innerOf(request);
    return typeof inner?.header === "function" ? inner.header(name) : request.headers.get(name);
  },
  uploadOf(request) {
    const { resource, state } = slots();
    if (resource === undefined || state === undefined) return undefined;
    try {
      const stream = innerOf(request)?.body?.streamOrStatic;
      const isClosed = valueOf(stream, state) === "closed";
      return stream && {
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
    // Deno does not know where a stream comes from that has been through another one.
    body.streamOrStatic = body.streamOrStatic.pipeThrough(new TransformStream());
  },
  bodyAtHand(response) {
    const { fastBody, response: slot } = slots();
    // The casts: slots have no types; each step may be absent.
    const fast = valueOf(response, fastBody) as StaticBody | null | undefined;
    const inner = valueOf(response, slot) as InnerResponse | undefined;
    return fast ?? inner?.body?.streamOrStatic?.body;
  },
};

/**
 * Tells when the response of one request has been delivered. Until the first delivery has shown that Deno
 * gives the sign, and for good if it does not, the request's promise is followed, which costs more.
 */
export class Delivery {
  readonly #native: DenoInfo;
  #isDone = false;

  constructor(native: DenoInfo) {
    this.#native = native;
    if (internals.deliveryIsTold === true) return;
    const done = () => {
      this.#isDone = true;
      internals.deliveryIsTold ??= internals.isDelivered(native);
    };
    native.completed.then(done, done);
  }

  get isDone(): boolean {
    // The sign is an exception, so it is looked for no more than needed.
    this.#isDone ||= internals.isDelivered(this.#native);
    return this.#isDone;
  }
}
