/**
 * Everything that this package uses of `node:http`, `node:http2` and `node:net` beyond their public API,
 * on Node and in the `node:` modules of Deno and Bun.
 *
 * Each member is asked for what it reads when it is needed. Where a runtime does not have it, or has
 * something else in its place, the member returns what its comment names under "Without it", and never
 * throws. `tests/runtimes/internals.test.ts` shows on which runtimes each one is there, and takes each
 * away to see what happens then.
 */
import http from "node:http";
import type http2 from "node:http2";
import net from "node:net";
import process from "node:process";

/** A socket of the kernel, as Node keeps it behind a `net.Server` or a `net.Socket`. */
export interface Handle {
  readonly fd?: number;
  /** The number of bytes that Node has yet to give to the kernel. */
  readonly writeQueueSize?: number;
  close(): void;
  /** Calls listen(2), again where the socket already listens. */
  listen?(backlog: number): number;
  /** Fills `out` and returns 0, or returns a negative error number. */
  getsockname?(out: { address?: string; port?: number }): number;
  /** Fills `out` and returns 0 once the socket is connected, or returns a negative error number. */
  getpeername?(out: object): number;
}

/** A handle that has a descriptor: a bound one has. */
export type BoundHandle = Handle & { readonly fd: number };

/** A response that waits behind another one in a pipeline. */
export interface HeldResponse {
  readonly outputData: { data: unknown }[];
  outputSize: number;
  shouldKeepAlive?: boolean;
  _last?: boolean;
}

/** A request whose body may be unread. */
export interface DiscardableRequest {
  readonly complete: boolean;
  resume(): unknown;
}

/** The connections of a server that speak HTTP/1. */
export interface HttpConnections {
  readonly all: readonly net.Socket[];
  /** The connections with a request that is not complete yet. */
  readonly active: ReadonlySet<net.Socket>;
}

/** The internals of the `node:` modules. Tests replace single members. */
export interface NodeInternals {
  /**
   * Returns the kernel socket behind a server or a socket.
   *
   * Without it: the length of the accept queue is unknown, and three quiet turns of the event loop stand
   * for an empty one; sessions of HTTP/2 get one GOAWAY instead of two.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`_handle`)
   */
  handleOf(owner: net.Server | net.Socket): Handle | undefined;
  /**
   * Returns the text in which Node keeps the address that a server has bound itself; there is none for an
   * inherited descriptor.
   *
   * Without it: handshakes are not held back while the accept queue is emptied.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`_connectionKey`)
   */
  boundKeyOf(server: net.Server): string | undefined;
  /**
   * Binds a socket that does not listen yet. Throws if the runtime has no such function.
   *
   * Without it: `listen()` and `handoff` fail with an error that names the function.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`_createServerHandle`)
   */
  createServerHandle(
    address: string,
    port: number,
    addressType: 4 | 6 | -1,
    flags: number,
  ): BoundHandle | number;
  /**
   * Has a server listen with a handle, and returns whether it could. The public `listen` takes handles of
   * TCP only, and makes a second handle of the number of a unix socket.
   *
   * Without it: the server listens on the number of the descriptor.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`setupListenHandle`, kept as `_listen2`)
   */
  listenOnHandle(server: net.Server, handle: Handle, backlog: number | undefined): boolean;
  /**
   * Returns the newest request that was parsed on a socket, as long as Node keeps it.
   *
   * Without it: an upload that goes on behind its response is not seen; the connection counts as idle.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`parser.incoming`)
   */
  newestRequest(socket: net.Socket): http.IncomingMessage | undefined;
  /**
   * Has what is left of the body of a request be read and dropped, also when the handler has cancelled the
   * body: the request is destroyed then, and nothing else makes its connection read on.
   *
   * Without it: a client that goes on sending a cancelled upload gets a reset after half a second.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_incoming.js (`_dump`)
   */
  discardBody(request: DiscardableRequest, socket: net.Socket): void;
  /** Returns whether an HTTP parser is attached to a socket. Without it: false. */
  hasParser(socket: net.Socket): boolean;
  /**
   * Returns the response that is being sent on a socket.
   *
   * Without it: a request in flight when its server is adopted is found with the next one.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_outgoing.js (`_httpMessage`)
   */
  responseOf(socket: net.Socket): http.ServerResponse | undefined;
  /**
   * Returns the sockets that a server has accepted and that are open.
   *
   * Without it: connections that are open when a server is adopted are unknown until their next request.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/src/node_process_methods.cc (`_getActiveHandles`)
   */
  acceptedBy(server: net.Server): net.Socket[];
  /**
   * Returns the open sockets that speak TLS.
   *
   * Without it: as `acceptedBy`.
   */
  openTlsSockets(): net.Socket[];
  /**
   * Returns the socket that was accepted, of one that speaks TLS over it. Undefined on Bun, which has one
   * socket for both.
   *
   * Without it: the handshake of a TLS connection is not seen before its first request.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/internal/tls/wrap.js (`_parent`)
   */
  acceptedSocketOf(tlsSocket: net.Socket): net.Socket | undefined;
  /**
   * Returns the connections of a server that speak HTTP/1.
   *
   * Without it: as `acceptedBy`.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`kConnections`)
   */
  httpConnectionsOf(server: net.Server): HttpConnections | undefined;
  /**
   * Returns the sessions of a server of HTTP/2.
   *
   * Without it: sessions that are open when a server is adopted are found with their next stream.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/internal/http2/core.js (`kSessions`)
   */
  sessionsOf(server: net.Server): http2.ServerHttp2Session[];
  /** Returns the streams of a session in flight. Without it: as `sessionsOf`. */
  streamsOf(session: http2.ServerHttp2Session): http2.ServerHttp2Stream[];
  /** Returns the request that belongs to a stream, if its server listens to "request". */
  requestOf(stream: http2.ServerHttp2Stream): http2.Http2ServerRequest | undefined;
  /**
   * Returns the socket of a session. The public `session.socket` is a proxy that can neither be ended nor
   * kept.
   *
   * Without it: as `sessionsOf`.
   */
  socketOf(session: http2.Http2Session): net.Socket | undefined;
  /**
   * Returns what a response has written, while the one before it in a pipeline is not over.
   *
   * Without it: the last response of a pipeline may not say `Connection: close`; the connection ends all
   * the same.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_outgoing.js (`outputData`)
   */
  heldResponse(response: http.ServerResponse): HeldResponse | undefined;
  /**
   * Returns a socket's `destroySoon`, which Node calls behind the last response of a connection.
   *
   * Without it: the client of an unread upload may get a reset before it has read its answer.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`resOnFinish`)
   */
  destroySoonOf(socket: net.Socket): (() => void) | undefined;
  /**
   * Has a server whose listener is closed say that it listens, until its last connection has ended. Deno
   * ends a connection behind each response of a server that does not listen, although the response did
   * not say so, and a request may have crossed that.
   *
   * Without it: such a request is lost on Deno.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/node/polyfills/_http_server.ts
   */
  seemToListen(server: net.Server): void;
  /**
   * Stops the timer with which a closed server of `node:http` looks after its connections, which only its
   * own `close` does, without a second "close" event.
   *
   * Without it: the timer keeps nothing alive.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`setupConnectionsTracking`)
   */
  stopConnectionChecks(server: net.Server): void;
  /**
   * Has Bun close a connection of its own `node:http` if it is idle: nothing else knows whether a part of
   * the next request has come. Returns false where the socket is not such a connection.
   *
   * Without it: the connection is destroyed when no request is in flight, with a head received in part.
   */
  closeIfIdleOnBun(socket: net.Socket): boolean;
}

/** What is read of sockets that is not in their types. */
interface SocketInternals {
  readonly _server?: unknown;
  readonly _parent?: net.Socket;
  readonly _httpMessage?: http.ServerResponse | null;
  readonly parser?: { readonly incoming?: http.IncomingMessage | null } | null;
}

/** Node's list of the connections of a server. */
interface ConnectionsList {
  all?(): readonly { readonly socket?: net.Socket }[];
  active?(): readonly { readonly socket?: net.Socket }[];
}

/** Returns a socket with what is not in its types. */
function withInternals(socket: net.Socket): SocketInternals {
  // The cast: each of the properties may be absent.
  return socket as unknown as SocketInternals;
}

/** Returns what a runtime keeps of an object under a symbol with this description. */
function slot<T>(owner: object, description: string): T | undefined {
  const symbol = Object.getOwnPropertySymbols(owner).find((one) => one.description === description);
  // The cast: slots have no types.
  return symbol && (owner as unknown as Record<symbol, T | undefined>)[symbol];
}

function activeHandles(): net.Socket[] {
  // The cast: the function is not in the types. Bun's returns nothing.
  const { _getActiveHandles: handles } = process as unknown as {
    _getActiveHandles?(): net.Socket[];
  };
  return handles?.call(process) ?? [];
}

/** Reports whether a socket speaks TLS. */
export function isTls(socket: net.Socket): boolean {
  return "getPeerCertificate" in socket;
}

/** The internals of this runtime. */
export const internals: NodeInternals = {
  handleOf(owner) {
    // The cast: the handle is not in the types.
    return (owner as unknown as { _handle?: Handle | null })._handle ?? undefined;
  },
  boundKeyOf(server) {
    // The cast: the key is not in the types.
    const { _connectionKey: key } = server as unknown as { _connectionKey?: unknown };
    return typeof key === "string" && /^[46]:/.test(key) ? key : undefined;
  },
  createServerHandle(address, port, addressType, flags) {
    // The cast: the function is not in the types.
    const { _createServerHandle: create } = net as unknown as {
      _createServerHandle?(
        address: string,
        port: number,
        addressType: 4 | 6 | -1,
        fd: undefined,
        flags: number,
      ): BoundHandle | number;
    };
    if (typeof create === "function") return create(address, port, addressType, undefined, flags);
    throw new Error("this version of Node has no net._createServerHandle");
  },
  listenOnHandle(server, handle, backlog) {
    // The cast: Node's own `listen` ends there, whatever it is given.
    const native = server as unknown as {
      _handle: Handle | null;
      _listen2?(address: null, port: -1, type: -1, backlog: number | undefined): void;
    };
    if (typeof native._listen2 !== "function") return false;
    native._handle = handle;
    native._listen2(null, -1, -1, backlog);
    return true;
  },
  newestRequest: (socket) => withInternals(socket).parser?.incoming ?? undefined,
  discardBody(request, socket) {
    // The cast: the function is not in the types.
    const { _dump: dump } = request as { _dump?(): void };
    if (typeof dump === "function") dump.call(request);
    else request.resume();
    socket.resume();
  },
  hasParser: (socket) => withInternals(socket).parser != null,
  responseOf: (socket) => withInternals(socket)._httpMessage ?? undefined,
  acceptedBy: (server) =>
    activeHandles().filter((socket) => withInternals(socket)._server === server && !isTls(socket)),
  openTlsSockets: () => activeHandles().filter(isTls),
  acceptedSocketOf: (tlsSocket) => withInternals(tlsSocket)._parent,
  httpConnectionsOf(server) {
    const list = slot<ConnectionsList>(server, "http.server.connections");
    if (list === undefined) return undefined;
    const sockets = (some: readonly { readonly socket?: net.Socket }[]) =>
      some.flatMap(({ socket }) => socket ?? []);
    // Deno has neither function, but a list.
    return { all: sockets(list.all?.() ?? []), active: new Set(sockets(list.active?.() ?? [])) };
  },
  sessionsOf: (server) => [...slot<Set<http2.ServerHttp2Session>>(server, "sessions") ?? []],
  streamsOf(session) {
    const state = slot<{ streams?: Map<number, http2.ServerHttp2Stream> }>(session, "state");
    return [...state?.streams?.values() ?? []];
  },
  requestOf: (stream) => slot<http2.Http2ServerRequest | null>(stream, "request") ?? undefined,
  socketOf: (session) =>
    slot<net.Socket>(session, "socket") ?? slot<net.Socket>(session, "::bunhttp2socket::"),
  heldResponse(response) {
    // The cast: none of it is in the types.
    const held = response as unknown as Partial<HeldResponse> & { readonly socket: unknown };
    const isHeld = held.socket === null && Array.isArray(held.outputData) &&
      typeof held.outputSize === "number";
    // The cast: what the type asks for was seen.
    return isHeld ? held as HeldResponse : undefined;
  },
  destroySoonOf(socket) {
    return typeof socket.destroySoon === "function" ? socket.destroySoon.bind(socket) : undefined;
  },
  seemToListen(server) {
    if (!("deno" in process.versions)) return;
    Object.defineProperty(server, "listening", { value: true, configurable: true });
    server.once("close", () => Reflect.deleteProperty(server, "listening"));
  },
  stopConnectionChecks(server) {
    if (!("closeIdleConnections" in server)) return;
    // The owner of the server may have it listen again by now.
    const hidden = { emit: { value: () => false }, _handle: { value: null, writable: true } };
    http.Server.prototype.close.call(Object.create(server, hidden));
  },
  closeIfIdleOnBun(socket) {
    const handle = slot<{ closeIfIdle?(): unknown }>(socket, "handle");
    if (typeof handle?.closeIfIdle !== "function") return false;
    handle.closeIfIdle();
    return true;
  },
};
