/** The connections of a Node server that were open before the server was adopted. */
import type http from "node:http";
import type http2 from "node:http2";
import type net from "node:net";
import { internals, isTls } from "./internals.ts";

/** An open connection, and its state when its server was adopted. */
export interface OpenConnection {
  /** The accepted socket. */
  readonly accepted: net.Socket;
  /**
   * The socket that requests come over. With TLS it differs from the accepted socket and exists after the
   * handshake.
   */
  readonly socket: net.Socket | undefined;
  /** The response that is not complete yet. */
  readonly response: http.ServerResponse | undefined;
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
 * Returns the open connections of a server, as far as they can be found. On Bun, which has no list of open
 * connections, the result is empty.
 */
export function openConnections(server: net.Server): OpenConnection[] {
  const list = internals.httpConnectionsOf(server);
  const sessions = internals.sessionsOf(server);
  const overTls = [...list?.all ?? [], ...internals.openTlsSockets()].filter(isTls);
  return internals.acceptedBy(server).map((accepted) => {
    const socket = "addContext" in server
      ? overTls.find((tlsSocket) => internals.acceptedSocketOf(tlsSocket) === accepted)
      : accepted;
    const session = sessions.find((one) => isOver(one, accepted));
    const response = socket && internals.responseOf(socket);
    const streams = session === undefined ? [] : streamsOf(session);
    return { accepted, socket, response, session, streams, state: stateOf(socket) };
  });

  function stateOf(socket: net.Socket | undefined): OpenConnection["state"] {
    const isSilent = socket === undefined || socket.bytesRead === 0;
    if (list === undefined || isSilent) return "unknown";
    if (internals.responseOf(socket) !== undefined || list.active.has(socket)) return "unknown";
    return internals.hasParser(socket) ? "idle" : "hijacked";
  }
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
