/** Servers with WebSockets, of each kind that a runtime has. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server as HttpServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { WebSocketServer } from "ws";
import {
  adopt,
  type Engine,
  type NativeServer,
  serve,
  type ServeInfo,
  type Server,
  type ServerWebSocket,
  type WebSocketHandlers,
} from "../mod.ts";
import { currentRuntime } from "./runtimes.ts";

/** What all kinds of WebSockets of a server have. */
export interface ServerSocket {
  send(data: string | Uint8Array<ArrayBuffer>): unknown;
  close(code?: number, reason?: string): void;
}

/** What the WebSockets of a test server do. */
export interface Behavior {
  onOpen?(socket: ServerSocket, info: ServeInfo | undefined): void;
  onMessage?(socket: ServerSocket, data: string): void;
  onClose?(): void;
  /** Called with each request, and waited for. */
  gate?(): Promise<void>;
  compress?: boolean;
  /** The certificate and its key. Servers that are adopted on Deno and Bun speak no TLS here. */
  tls?: { readonly cert: string; readonly key: string };
}

/** A server, and its open WebSockets. */
export interface WebSocketFixture {
  readonly server: Server;
  readonly sockets: ReadonlySet<ServerSocket>;
}

/** A kind of server with WebSockets. */
export interface WebSocketKind {
  start(behavior?: Behavior): Promise<WebSocketFixture>;
  /** Who sends the close frame at a drain: this package, Deno with a code of its own, or only the owner. */
  readonly closes: "package" | "deno" | "owner";
  /** Whether messages that cross the close frame reach the application. */
  readonly receivesAfterClose: boolean;
  /** Whether handlers have an `info`, with a drain notice of their own. */
  readonly hasInfo: boolean;
  /** Whether `connections()` tells which connections are WebSockets. */
  readonly showsWebSockets: boolean;
}

const local = { port: 0, hostname: "127.0.0.1" };

/** The part of Deno's namespace that the servers use. */
interface DenoNamespace {
  serve(
    options: object,
    handler: (request: Request) => Promise<Response>,
  ): NativeServer;
  upgradeWebSocket(request: Request): { socket: WebSocket; response: Response };
}

/** The part of a server of Bun that the servers use. */
interface BunNamespace {
  upgrade(request: Request, options: { data: unknown }): boolean;
}

// The cast: the types of other runtimes know neither namespace.
const { Deno, Bun } = globalThis as unknown as {
  Deno: DenoNamespace;
  Bun: { serve(options: object): NativeServer };
};

/** Adds the sockets of one server to a set while they are open. */
function tracking(behavior: Behavior): {
  sockets: Set<ServerSocket>;
  opened(socket: ServerSocket, info?: ServeInfo): void;
  closed(socket: ServerSocket): void;
} {
  const sockets = new Set<ServerSocket>();
  return {
    sockets,
    opened(socket, info) {
      sockets.add(socket);
      behavior.onOpen?.(socket, info);
    },
    closed(socket) {
      sockets.delete(socket);
      behavior.onClose?.();
    },
  };
}

async function startWs(behavior: Behavior = {}): Promise<WebSocketFixture> {
  const { sockets, opened, closed } = tracking(behavior);
  const onRequest: RequestListener = (_request, response) => void response.end("hello");
  const native: HttpServer = behavior.tls === undefined
    ? createServer(onRequest)
    : createSecureServer(behavior.tls, onRequest);
  const wss = new WebSocketServer({
    noServer: true,
    perMessageDeflate: behavior.compress ?? false,
  });
  native.on("upgrade", async (request, socket, head) => {
    await behavior.gate?.();
    wss.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("message", (data) => behavior.onMessage?.(webSocket, String(data)));
      webSocket.on("close", () => closed(webSocket));
      opened(webSocket);
    });
  });
  native.listen(0, "127.0.0.1");
  await once(native, "listening");
  return { server: adopt(native), sockets };
}

/** Returns a handler for Deno that upgrades every request that asks for it. */
function denoHandler(behavior: Behavior, track: ReturnType<typeof tracking>) {
  return async (request: Request, info?: ServeInfo): Promise<Response> => {
    await behavior.gate?.();
    if (request.headers.get("upgrade") === null) return new Response("hello");
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.addEventListener("open", () => track.opened(socket, info));
    socket.addEventListener("message", ({ data }) => behavior.onMessage?.(socket, String(data)));
    socket.addEventListener("close", () => track.closed(socket));
    return response;
  };
}

async function startDeno(engine: Engine, behavior: Behavior = {}): Promise<WebSocketFixture> {
  const track = tracking(behavior);
  const server = await serve(denoHandler(behavior, track), {
    ...local,
    ...behavior.tls,
    engine,
  });
  return { server, sockets: track.sockets };
}

function adoptDeno(behavior: Behavior = {}): Promise<WebSocketFixture> {
  const track = tracking(behavior);
  const handler = denoHandler(behavior, track);
  const native = Deno.serve({ ...local, onListen() {} }, (request) => handler(request));
  return Promise.resolve({ server: adopt(native), sockets: track.sockets });
}

/** Returns the handlers of WebSockets for Bun, whose `data` is the `info` of their request. */
function bunHandlers(
  behavior: Behavior,
  track: ReturnType<typeof tracking>,
): WebSocketHandlers<ServeInfo | undefined> {
  // Bun gives its handlers the same object each time, but `close` is called after the object's end.
  return {
    open: (socket) => track.opened(socket, socket.data),
    message: (socket, data) => behavior.onMessage?.(socket, String(data)),
    close: (socket: ServerWebSocket<ServeInfo | undefined>) => track.closed(socket),
    perMessageDeflate: behavior.compress ?? false,
  };
}

async function startBun(behavior: Behavior = {}): Promise<WebSocketFixture> {
  const track = tracking(behavior);
  const server = await serve(async (request, info) => {
    await behavior.gate?.();
    // The cast: with this engine it is the `Bun.Server`.
    if ((info.native as BunNamespace).upgrade(request, { data: info })) return;
    return new Response("hello");
  }, {
    ...local,
    ...behavior.tls,
    engine: "bun",
    websocket: bunHandlers(behavior, track),
  });
  return { server, sockets: track.sockets };
}

function adoptBun(behavior: Behavior = {}): Promise<WebSocketFixture> {
  const track = tracking(behavior);
  const native = Bun.serve({
    ...local,
    fetch: async (request: Request, server: BunNamespace) => {
      await behavior.gate?.();
      return server.upgrade(request, { data: undefined }) ? undefined : new Response("hello");
    },
    websocket: bunHandlers(behavior, track),
  });
  return Promise.resolve({ server: adopt(native), sockets: track.sockets });
}

const ws: WebSocketKind = {
  start: startWs,
  closes: "package",
  receivesAfterClose: true,
  hasInfo: false,
  showsWebSockets: true,
};

const denoKinds: Record<string, WebSocketKind> = {
  "deno": { ...ws, start: (behavior) => startDeno("deno", behavior), hasInfo: true },
  "deno-serve": { ...ws, start: (behavior) => startDeno("deno-serve", behavior), hasInfo: true },
  "adopted Deno.serve": {
    ...ws,
    start: adoptDeno,
    closes: "deno",
    receivesAfterClose: false,
    showsWebSockets: false,
  },
};

const bunKinds: Record<string, WebSocketKind> = {
  "bun": { ...ws, start: startBun, receivesAfterClose: false, hasInfo: true },
  "adopted Bun.serve": { ...ws, start: adoptBun, closes: "owner", receivesAfterClose: false },
};

/** The kinds of this runtime. */
export const kinds: Record<string, WebSocketKind> = {
  ...{ node: {}, deno: denoKinds, bun: bunKinds }[currentRuntime],
  "adopted ws": ws,
};
