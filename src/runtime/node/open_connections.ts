/** The connections of a node server that were open before anybody counted them. */
import type http from "node:http";
import type http2 from "node:http2";
import type net from "node:net";
import process from "node:process";

/** One of them, and what it was doing when it was found. */
export interface OpenConnection {
  /** The one that was accepted. */
  readonly accepted: net.Socket;
  /** The one that requests come over: with TLS another one, after the handshake. */
  readonly socket: net.Socket | undefined;
  /** The response that is not complete yet. */
  readonly response: http.ServerResponse | undefined;
  readonly session: http2.ServerHttp2Session | undefined;
  /** Its streams that are in flight. */
  readonly streams: readonly OpenStream[];
  readonly state: "unknown" | "idle" | "hijacked";
}

/** A stream of HTTP/2, and what it asks for, if that is known. */
export interface OpenStream {
  readonly stream: http2.ServerHttp2Stream;
  readonly method: string | undefined;
  readonly url: string | undefined;
}

/** What node and Deno keep of a socket, beside what is in its types. */
type Internals = net.Socket & {
  _server?: unknown;
  _parent?: net.Socket;
  _httpMessage?: http.ServerResponse | null;
  parser?: unknown;
};

/** Node's list of the connections that speak HTTP/1. */
interface ConnectionsList {
  all?(): readonly { readonly socket?: Internals }[];
  active?(): readonly { readonly socket?: Internals }[];
}

/** Those that can be found: on Bun none, which has no list of them. */
export function openConnections(server: net.Server): OpenConnection[] {
  const handles = activeHandles();
  const accepted = handles.filter((socket) => socket._server === server && !isTls(socket));
  const list = slot<ConnectionsList>(server, "http.server.connections");
  const sessions = [...slot<Set<http2.ServerHttp2Session>>(server, "sessions") ?? []];
  const parsed = (list?.all?.() ?? []).flatMap(({ socket }) => socket ?? []);
  const active = new Set((list?.active?.() ?? []).map(({ socket }) => socket));
  const overTls = [...parsed, ...handles].filter(isTls);
  return accepted.map((socket) => {
    const inner = "addContext" in server
      ? overTls.find(({ _parent }) => _parent === socket)
      : socket;
    const session = sessions.find((one) => isOver(one, socket));
    const response = inner?._httpMessage ?? undefined;
    const streams = session === undefined ? [] : streamsOf(session);
    return { accepted: socket, socket: inner, response, session, streams, state: stateOf(inner) };
  });

  function stateOf(socket: Internals | undefined): OpenConnection["state"] {
    const isSilent = socket === undefined || socket.bytesRead === 0;
    if (list === undefined || isSilent || socket._httpMessage || active.has(socket)) {
      return "unknown";
    }
    return socket.parser === null || socket.parser === undefined ? "hijacked" : "idle";
  }
}

function activeHandles(): Internals[] {
  // The cast: it is not in the types, and Bun's returns nothing.
  const { _getActiveHandles: handles } = process as unknown as {
    _getActiveHandles?(): Internals[];
  };
  return handles?.call(process) ?? [];
}

/** Whether a socket speaks TLS. */
export function isTls(socket: net.Socket): boolean {
  return "getPeerCertificate" in socket;
}

function isOver({ socket }: http2.ServerHttp2Session, accepted: net.Socket): boolean {
  return socket?.remotePort === accepted.remotePort &&
    socket?.remoteAddress === accepted.remoteAddress;
}

/** The socket of a session itself: what a session shows of it can neither be ended nor kept. */
export function socketOf(session: http2.Http2Session): net.Socket | undefined {
  return slot<net.Socket>(session, "socket") ?? slot<net.Socket>(session, "::bunhttp2socket::");
}

function streamsOf(session: http2.ServerHttp2Session): OpenStream[] {
  const state = slot<{ streams?: Map<number, http2.ServerHttp2Stream> }>(session, "state");
  return [...state?.streams?.values() ?? []].map((stream) => {
    // Only of a server that listens to "request".
    const request = slot<http2.Http2ServerRequest | null>(stream, "request");
    return { stream, method: request?.method, url: request?.url };
  });
}

/** What a runtime keeps of an object of its own under a symbol of this description. */
export function slot<T>(owner: object, description: string): T | undefined {
  const symbol = Object.getOwnPropertySymbols(owner).find((one) => one.description === description);
  // The cast: slots have no types.
  return symbol && (owner as unknown as Record<symbol, T | undefined>)[symbol];
}
