/** The connections of a Node server, found when they are needed instead of tracked all the time. */
import type http from "node:http";
import type http2 from "node:http2";
import type net from "node:net";
import { internals, isTls } from "./internals.ts";

/** An open connection, and its state at the time when it was found. */
export interface OpenConnection {
  /** The accepted socket. */
  readonly accepted: net.Socket;
  /**
   * The socket that requests come over. With TLS it differs from the accepted socket and exists after the
   * handshake.
   */
  readonly socket: net.Socket | undefined;
  /** The newest response that is not complete yet. In a pipeline it is the last response to end. */
  readonly response: http.ServerResponse | undefined;
  /** Whether a part of the request after the newest one has arrived. */
  readonly nextHasBegun: boolean;
  /** The HTTP/2 session of the connection, if it has one. */
  readonly session: http2.ServerHttp2Session | undefined;
  /** The streams in flight of the HTTP/2 session. */
  readonly streams: readonly OpenStream[];
  readonly state: "unknown" | "idle" | "hijacked";
}

/** An HTTP/2 stream in flight, with the method and URL of its request if they are known. */
export interface OpenStream {
  readonly stream: http2.ServerHttp2Stream;
  readonly method: string | undefined;
  readonly url: string | undefined;
}

/**
 * Returns the open connections of a server, as far as they can be found, including the given connections.
 * On Bun, which has no list of open connections, only the given connections are returned.
 */
export function openConnections(
  server: net.Server,
  known: Iterable<net.Socket> = [],
): OpenConnection[] {
  const list = internals.httpConnectionsOf(server);
  const sessions = internals.sessionsOf(server);
  const overTls = new Map(
    [...list?.all ?? [], ...internals.openTlsSockets()].filter(isTls)
      .map((tlsSocket) => [internals.acceptedSocketOf(tlsSocket), tlsSocket]),
  );
  // The owner of a server may give it sockets that it has not accepted itself: `emit("connection", socket)`.
  const withParser = list?.all.map((socket) => internals.acceptedSocketOf(socket) ?? socket) ?? [];
  const all = new Set([...internals.acceptedBy(server), ...withParser, ...known]);
  return [...all].filter(({ destroyed }) => !destroyed).map((accepted) => {
    const socket = "addContext" in server
      ? overTls.get(accepted) ?? (isTls(accepted) ? accepted : undefined)
      : accepted;
    const session = sessions.find((one) => isOver(one, accepted));
    const response = socket && newestResponse(socket);
    const streams = session === undefined ? [] : streamsOf(session);
    const nextHasBegun = socket !== undefined && hasNextBegun(socket);
    return {
      accepted,
      socket,
      response,
      nextHasBegun,
      session,
      streams,
      state: stateOf(socket, nextHasBegun),
    };
  });

  /**
   * Returns whether a part of the next request has arrived. Node lists a connection as active from the first
   * byte of a request to the last.
   */
  function hasNextBegun(socket: net.Socket): boolean {
    return list?.active.has(socket) === true &&
      internals.newestRequest(socket)?.complete !== false;
  }

  function stateOf(
    socket: net.Socket | undefined,
    nextHasBegun: boolean,
  ): OpenConnection["state"] {
    const isSilent = socket === undefined || socket.bytesRead === 0;
    if (list === undefined || isSilent) return "unknown";
    if (internals.responseOf(socket) !== undefined || nextHasBegun) return "unknown";
    return internals.hasParser(socket) ? "idle" : "hijacked";
  }
}

/** The key of the property with which a socket refers to the newest response of a pipeline. */
const PIPELINED: unique symbol = Symbol("graceful pipelined response");

type Pipelining = net.Socket & { [PIPELINED]?: WeakRef<http.ServerResponse> };

/**
 * Records a response that waits for an earlier response of its connection to end. Node itself shows only the
 * response that is being sent.
 */
export function notePipelined(socket: net.Socket, response: http.ServerResponse): void {
  (socket as Pipelining)[PIPELINED] = new WeakRef(response);
}

function newestResponse(socket: Pipelining): http.ServerResponse | undefined {
  const sending = internals.responseOf(socket);
  const pipelined = socket[PIPELINED]?.deref();
  return sending !== undefined && pipelined?.writableFinished === false ? pipelined : sending;
}

function isOver({ socket }: http2.ServerHttp2Session, accepted: net.Socket): boolean {
  return socket?.remotePort === accepted.remotePort &&
    socket?.remoteAddress === accepted.remoteAddress;
}

function streamsOf(session: http2.ServerHttp2Session): OpenStream[] {
  return internals.streamsOf(session).map((stream) => {
    const request = internals.requestOf(stream);
    return { stream, method: request?.method, url: request?.url };
  });
}
