/**
 * Everything that this package uses of `node:http`, `node:http2`, `node:net` and `node:diagnostics_channel`
 * beyond their public API, on Node and in the `node:` modules of Deno and Bun.
 *
 * Each member reads an internal of the runtime at the time of the call. If the runtime lacks the internal,
 * or has something else in its place, the member does not throw but has the effect that its comment names
 * under "Without it". `tests/runtimes/internals.test.ts` shows which runtimes have which member, and
 * removes each member to see the effect.
 */
import type { Channel } from "node:diagnostics_channel";
import type http from "node:http";
import type http2 from "node:http2";
import net from "node:net";
import process from "node:process";
import { nodeHttp } from "../host/http_modules.ts";

/** A WebSocket of the package `ws`, which is a wrapper around the socket that HTTP has released. */
export interface WsWebSocket {
  /** The state of the connection, with the values of `WebSocket.readyState`. */
  readonly readyState: number;
  /** The socket of the connection. */
  readonly _socket?: net.Socket | null;
  /** Sends the close frame after all messages, including messages that are still being compressed. */
  close(code: number, reason: string): void;
}

/** The object with which Node represents a kernel socket, behind a `net.Server` or a `net.Socket`. */
export interface Handle {
  /** The descriptor of the socket. */
  readonly fd?: number;
  /** The number of bytes that Node has not passed to the kernel yet. */
  readonly writeQueueSize?: number;
  close(): void;
  /** Calls listen(2), also on a socket that already listens. Returns 0 or a negative error number. */
  listen?(backlog: number): number;
  /** Writes the local address to `out` and returns 0, or returns a negative error number. */
  getsockname?(out: { address?: string; port?: number }): number;
  /**
   * Writes the address of the peer to `out` and returns 0 if the socket is connected, or returns a negative
   * error number.
   */
  getpeername?(out: { port?: number }): number;
}

/** A handle with a descriptor, which every bound handle has. */
export type BoundHandle = Handle & { readonly fd: number };

/** The fields of a response that waits in a pipeline for an earlier response to end. */
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

/** The HTTP/1 connections of a server. */
export interface HttpConnections {
  /** The sockets of all HTTP/1 connections. */
  readonly all: readonly net.Socket[];
  /** The sockets of the connections with a request that is not complete yet. */
  readonly active: ReadonlySet<net.Socket>;
}

/** A function that subscribes to a channel of `node:diagnostics_channel`. */
export type Subscriber = (message: unknown, name: string) => unknown;

/** The internals of the `node:` modules that this package uses. Tests replace single members. */
export interface NodeInternals {
  /**
   * Returns the kernel socket behind a server or a socket.
   *
   * Without it: the length of the accept queue is unknown, and three quiet turns of the event loop count as
   * an empty queue; HTTP/2 sessions get one GOAWAY instead of two.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`_handle`)
   */
  handleOf(owner: net.Server | net.Socket): Handle | undefined;
  /**
   * Returns the text with which Node records the address that a server has bound itself. Returns undefined
   * for an inherited socket.
   *
   * Without it: handshakes are not held back while the accept queue is emptied.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`_connectionKey`)
   */
  boundKeyOf(server: net.Server): string | undefined;
  /**
   * Creates and binds a socket that does not listen yet. Returns the handle of the socket, or a negative
   * error number. Throws if the runtime has no such function.
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
   * Makes a server listen with a handle, and returns whether that is possible. The public `listen` accepts
   * TCP handles only, and creates a second handle from the descriptor of a unix socket.
   *
   * Without it: the server listens with the number of the descriptor.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`setupListenHandle`, kept as `_listen2`)
   */
  listenOnHandle(server: net.Server, handle: Handle, backlog: number | undefined): boolean;
  /**
   * Calls `takes` with the client's port of each connection that a listening handle accepts, before the server sees
   * the connection. If `takes` returns true, the connection is closed, and the server never sees it. Returns a
   * function that ends the interception.
   *
   * Without it: `takes` is never called.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`onconnection`)
   */
  interceptAccepted(handle: Handle, takes: (port: number) => boolean): () => void;
  /**
   * Returns the newest request that was parsed on a socket, for as long as Node keeps the request.
   *
   * Without it: an upload that continues after its response is not noticed, and the connection counts as
   * idle.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`parser.incoming`)
   */
  newestRequest(socket: net.Socket): http.IncomingMessage | undefined;
  /**
   * Reads and discards the rest of a request body. This works even after the handler has canceled the
   * body: the request is then destroyed, and nothing else makes its connection continue to read.
   *
   * Without it: a client that continues to send a canceled upload gets a reset after half a second.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_incoming.js (`_dump`)
   */
  discardBody(request: DiscardableRequest, socket: net.Socket): void;
  /** Returns whether an HTTP parser is attached to a socket. Without it: false. */
  hasParser(socket: net.Socket): boolean;
  /**
   * Returns the response that is being sent on a socket.
   *
   * Without it: a request that is in flight when its server is adopted stays unknown until the next request
   * of its connection.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_outgoing.js (`_httpMessage`)
   */
  responseOf(socket: net.Socket): http.ServerResponse | undefined;
  /**
   * Returns the open sockets among the sockets that a server has accepted.
   *
   * Without it: connections that are open when a server is adopted are unknown until their next request.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/src/node_process_methods.cc (`_getActiveHandles`)
   */
  acceptedBy(server: net.Server): net.Socket[];
  /**
   * Returns the open TLS sockets of this process.
   *
   * Without it: the same as for `acceptedBy`.
   */
  openTlsSockets(): net.Socket[];
  /**
   * Returns the accepted socket under a TLS socket. Returns undefined on Bun, which has a single socket for
   * both.
   *
   * Without it: the handshake of a TLS connection is not seen before its first request. `serveTcp` then
   * identifies a connection by the address of its client, which on a unix socket is the same for all clients
   * whose handshake is under way.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/internal/tls/wrap.js (`_parent`)
   */
  acceptedSocketOf(tlsSocket: net.Socket): net.Socket | undefined;
  /**
   * Returns the HTTP/1 connections of a server.
   *
   * Without it: the same as for `acceptedBy`.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`kConnections`)
   */
  httpConnectionsOf(server: net.Server): HttpConnections | undefined;
  /**
   * Returns whether `acceptedBy` and `httpConnectionsOf` may find every connection of a server, so that
   * connections need not be tracked before the drain. The first request shows whether that is true.
   * Connections of a TLS server that HTTP has released to an upgrade are never found.
   *
   * Without it: an adopted server costs more, because its connections and requests are tracked all the time.
   */
  canFindConnections(server: net.Server): boolean;
  /**
   * Returns the open sessions of an HTTP/2 server.
   *
   * Without it: sessions that are open when a server is adopted are unknown until their next stream.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/internal/http2/core.js (`kSessions`)
   */
  sessionsOf(server: net.Server): http2.ServerHttp2Session[];
  /** Returns the streams in flight of a session. Without it: the same as for `sessionsOf`. */
  streamsOf(session: http2.ServerHttp2Session): http2.ServerHttp2Stream[];
  /** Returns the request that belongs to a stream, if the server has a "request" listener. */
  requestOf(stream: http2.ServerHttp2Stream): http2.Http2ServerRequest | undefined;
  /**
   * Returns the socket of a session. The public `session.socket` is a proxy, which can neither be ended nor
   * kept.
   *
   * Without it: the same as for `sessionsOf`.
   */
  socketOf(session: http2.Http2Session): net.Socket | undefined;
  /**
   * Returns the unsent data of a response that waits in a pipeline for an earlier response to end.
   *
   * Without it: the last response of a pipeline may lack `Connection: close`, but the connection still
   * ends.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_outgoing.js (`outputData`)
   */
  heldResponse(response: http.ServerResponse): HeldResponse | undefined;
  /**
   * Returns the `destroySoon` method of a socket, which Node calls after the last response of a connection.
   *
   * Without it: the client of an unread upload may get a reset before it has read the response.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`resOnFinish`)
   */
  destroySoonOf(socket: net.Socket): (() => void) | undefined;
  /**
   * Makes a server with a closed listener report that it still listens, until its last connection has
   * ended. If a server does not listen, Deno ends a connection after each response without announcing that
   * in the response, while the next request may be on the way.
   *
   * Without it: such a request is lost on Deno.
   *
   * @see https://github.com/denoland/deno/blob/v2.9.5/ext/node/polyfills/_http_server.ts
   */
  seemToListen(server: net.Server): void;
  /**
   * Stops the timer with which a server of `node:http` checks its connections for timeouts. Only the
   * server's own `close` stops the timer; this member does so without emitting a second "close" event.
   *
   * Without it: the timer continues to run, but does not keep the process alive.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/_http_server.js (`setupConnectionsTracking`)
   */
  stopConnectionChecks(server: net.Server): void;
  /**
   * Makes Bun close a connection of its `node:http` if the connection is idle. Only Bun knows whether a
   * part of the next request has arrived. Returns false if the socket is not such a connection.
   *
   * Without it: the connection is destroyed when no request is in flight, even if a part of a head has
   * arrived.
   */
  closeIfIdleOnBun(socket: net.Socket): boolean;
  /**
   * Returns the functions that subscribe to a channel at this moment.
   *
   * Without it: a subscriber that throws is an uncaught exception, which ends the process.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/diagnostics_channel.js (`_subscribers`)
   */
  subscribersOf(channel: Channel): readonly Subscriber[] | undefined;
  /**
   * Returns the WebSocket that the package `ws` has made of a socket. `socket.io`, `crossws` and others
   * include `ws`, and Bun replaces it by its own implementation.
   *
   * Without it, and for the WebSockets of other packages: undefined. Only the owner of such a WebSocket can
   * close it, because only the owner knows where a frame ends.
   *
   * @see https://github.com/websockets/ws/blob/8.23.0/lib/websocket.js (`kWebSocket`)
   */
  webSocketOf(socket: net.Socket): WsWebSocket | undefined;
}

/** The properties of sockets that this package reads and that the public types lack. */
interface SocketInternals {
  readonly _server?: unknown;
  readonly _parent?: net.Socket;
  readonly _httpMessage?: http.ServerResponse | null;
  readonly parser?: { readonly incoming?: http.IncomingMessage | null } | null;
}

/** The object in which Node lists the HTTP/1 connections of a server. */
interface ConnectionsList {
  all?(): readonly { readonly socket?: net.Socket }[];
  active?(): readonly { readonly socket?: net.Socket }[];
}

/** Returns the same socket, typed with its internal properties. */
function withInternals(socket: net.Socket): SocketInternals {
  // The cast: each of the properties may be absent.
  return socket as unknown as SocketInternals;
}

/** Returns the property of an object whose key is a symbol with the given description. */
function slot<T>(owner: object, description: string): T | undefined {
  const symbol = Object.getOwnPropertySymbols(owner).find((one) => one.description === description);
  // The cast: slots have no types.
  return symbol && (owner as unknown as Record<symbol, T | undefined>)[symbol];
}

function activeHandles(): net.Socket[] {
  // The cast: the function is not in the types. Bun's function returns no handles.
  const { _getActiveHandles: handles } = process as unknown as {
    _getActiveHandles?(): net.Socket[];
  };
  return handles?.call(process) ?? [];
}

/** Returns whether a socket speaks TLS. */
export function isTls(socket: net.Socket): boolean {
  return "getPeerCertificate" in socket;
}

/** The internals of the current runtime. */
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
    // The cast: the types lack these members. Every call of Node's own `listen` ends with them.
    const native = server as unknown as {
      _handle: Handle | null;
      _listen2?(address: null, port: -1, type: -1, backlog: number | undefined): void;
    };
    if (typeof native._listen2 !== "function") return false;
    native._handle = handle;
    native._listen2(null, -1, -1, backlog);
    return true;
  },
  interceptAccepted(handle, takes) {
    // The cast: the function is not in the types. Node calls it with a handle for each connection that it has accepted.
    const listening = handle as { onconnection?: (status: number, accepted?: Handle) => void };
    const announce = listening.onconnection;
    if (typeof announce !== "function") return () => {};
    listening.onconnection = function (status, accepted) {
      const peer: { port?: number } = {};
      accepted?.getpeername?.(peer);
      if (peer.port !== undefined && takes(peer.port)) accepted!.close();
      else announce.call(this, status, accepted);
    };
    return () => void (listening.onconnection = announce);
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
    // Deno has the list, but neither of the two functions.
    return { all: sockets(list.all?.() ?? []), active: new Set(sockets(list.active?.() ?? [])) };
  },
  canFindConnections(server) {
    const isOther = "deno" in process.versions || "bun" in process.versions;
    return !isOther && "_getActiveHandles" in process && server instanceof nodeHttp().Server;
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
    // The cast: the types lack these fields.
    const held = response as unknown as Partial<HeldResponse> & { readonly socket: unknown };
    const isHeld = held.socket === null && Array.isArray(held.outputData) &&
      typeof held.outputSize === "number";
    // The cast: the fields that the type requires were checked.
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
    // The owner may have made the server listen again by now, so hide its handle from `close`.
    const hidden = { emit: { value: () => false }, _handle: { value: null, writable: true } };
    nodeHttp().Server.prototype.close.call(Object.create(server, hidden));
  },
  closeIfIdleOnBun(socket) {
    const handle = slot<{ closeIfIdle?(): unknown }>(socket, "handle");
    if (typeof handle?.closeIfIdle !== "function") return false;
    handle.closeIfIdle();
    return true;
  },
  subscribersOf(channel) {
    // The cast: the list is not in the types.
    const { _subscribers: list } = channel as unknown as { _subscribers?: unknown };
    const isList = Array.isArray(list) && list.every((one) => typeof one === "function");
    // A copy: a subscriber may unsubscribe itself, and others, while it is called.
    return isList ? [...list] : undefined;
  },
  webSocketOf(socket) {
    const found = slot<Partial<WsWebSocket>>(socket, "websocket");
    if (typeof found?.close !== "function" || typeof found.readyState !== "number") {
      return undefined;
    }
    // The cast: the members that are used have been checked.
    return found._socket === socket ? found as WsWebSocket : undefined;
  },
};
