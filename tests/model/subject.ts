/** The servers that schedules are tried on: the handlers of the model's paths, on each kind of server. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { WebSocketServer } from "ws";
import {
  type Addr,
  adopt,
  type ConnInfo,
  serve,
  type ServeInfo,
  type Server,
  ShutdownIncompleteError,
  type ShutdownReport,
} from "../../mod.ts";
import type { Kind } from "./exceptions.ts";

const pem = {
  cert: readFileSync(new URL("../support/cert.pem", import.meta.url), "utf8"),
  key: readFileSync(new URL("../support/key.pem", import.meta.url), "utf8"),
};

/** What a call of `shutdown` is given. */
export interface CallOptions {
  readonly idleGrace: number;
  readonly timeout?: number;
  readonly signal: AbortSignal;
}

/** A server that a schedule is tried on. */
export interface Subject {
  readonly addr: Addr;
  state(): Promise<Server["state"]> | Server["state"];
  connections(): Promise<readonly ConnInfo[]> | readonly ConnInfo[];
  /** The ids of the requests that have reached their handlers, in that order. */
  readonly handled: readonly string[];
  /** Lets the handler of a request go on. */
  release(id: string): void;
  /** Resolves with the report, whether the drain is complete or not. */
  shutdown(options: CallOptions): Promise<ShutdownReport>;
  close(): Promise<void>;
  /** Removes everything that is left. */
  dispose(): Promise<void>;
}

/** What the handlers of a subject wait for, and who has called them. */
class Script {
  readonly handled: string[] = [];
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();

  /** Records a call of a handler. Returns what the path says: what is to be done, and a promise to wait for. */
  called(path: string): { id: string; what: string; gate: Promise<void> } {
    const [, what = "", id = ""] = path.split("/");
    this.handled.push(id);
    return { id, what, gate: this.#gateOf(id).promise };
  }

  release(id: string): void {
    this.#gateOf(id).resolve();
  }

  #gateOf(id: string): PromiseWithResolvers<void> {
    const gate = this.#gates.get(id) ?? Promise.withResolvers<void>();
    this.#gates.set(id, gate);
    return gate;
  }
}

/** The part of Deno's namespace that upgrades. */
interface DenoNamespace {
  upgradeWebSocket(request: Request): { response: Response };
}

/** The part of a server of Bun that upgrades. */
interface BunNamespace {
  upgrade(request: Request): boolean;
}

/** Makes the connection of a request a WebSocket, on the engines that can. Bun then wants no response. */
function upgrade(request: Request, { native }: ServeInfo): Response | undefined {
  // The casts: the types of other runtimes know neither.
  const { Deno } = globalThis as unknown as { Deno?: DenoNamespace };
  if (Deno !== undefined) return Deno.upgradeWebSocket(request).response;
  if ((native as BunNamespace).upgrade(request)) return undefined;
  return new Response("not upgraded", { status: 400 });
}

async function respond(
  script: Script,
  request: Request,
  info: ServeInfo,
): Promise<Response | undefined> {
  const { id, what, gate } = script.called(new URL(request.url, "http://test").pathname);
  switch (what) {
    case "wait":
      await gate;
      return new Response("wait");
    case "upload":
      return new Response(`got ${(await request.text()).length}`);
    case "late-upload": {
      const { length } = await request.text();
      script.handled.push(`${id} read`);
      await gate;
      return new Response(`got ${length}`);
    }
    case "stream":
      return new Response(streamOf(gate));
    case "throw":
      throw new Error("thrown by a handler of the model");
    case "ws":
      return upgrade(request, info);
    case "empty":
      return new Response(null, { status: 204 });
    default:
      return new Response(what);
  }
}

/** A body of two parts, with a wait between them. */
function streamOf(gate: Promise<void>): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = (text: string) => new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes("first "));
      gate.then(() => {
        controller.enqueue(bytes("last"));
        controller.close();
      }).catch(() => {});
    },
  });
}

async function respondInNode(
  script: Script,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { id, what, gate } = script.called(request.url!);
  switch (what) {
    case "wait":
      await gate;
      return void response.end("wait");
    case "upload":
      return void response.end(`got ${await lengthOf(request)}`);
    case "late-upload": {
      const length = await lengthOf(request);
      script.handled.push(`${id} read`);
      await gate;
      return void response.end(`got ${length}`);
    }
    case "stream":
      response.write("first ");
      await gate;
      return void response.end("last");
    case "throw":
      return void response.writeHead(500).end("failed");
    case "empty":
      return void response.writeHead(204).end();
    default:
      response.end(what);
  }
}

async function lengthOf(request: IncomingMessage): Promise<number> {
  let length = 0;
  for await (const chunk of request) length += chunk.length;
  return length;
}

/** Starts a server of a kind. */
export async function start(kind: Kind): Promise<Subject> {
  const script = new Script();
  const folder = kind.transport === "unix" ? mkdtempSync(join(tmpdir(), "model-")) : undefined;
  const path = folder === undefined ? undefined : join(folder, "socket");
  const server = kind.via === "serve"
    ? await startServed(kind, script, path)
    : await startAdopted(kind, script, path);
  const { addr } = server;
  return {
    addr,
    handled: script.handled,
    state: () => server.state,
    connections: () => server.connections(),
    release: (id) => script.release(id),
    shutdown: (options) => reportOf(server.shutdown(options)),
    close: () => server.close(),
    async dispose() {
      await server.close();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startServed(kind: Kind, script: Script, path?: string): Promise<Server> {
  return await serve((request, info) => respond(script, request, info), {
    ...(path === undefined ? { port: 0, hostname: "127.0.0.1" } : { path }),
    ...(kind.transport === "tls" ? pem : {}),
    ...(kind.engine === "bun" ? { websocket: {} } : {}),
    // The cast: the command line may name an engine that the runtime does not have, which `serve` refuses.
    engine: kind.engine as "node",
    onError: () => new Response("failed", { status: 500 }),
  });
}

async function startAdopted(kind: Kind, script: Script, path?: string): Promise<Server> {
  const listener = (request: IncomingMessage, response: ServerResponse) =>
    respondInNode(script, request, response).catch(() => response.destroy());
  const native = kind.transport === "tls"
    ? createSecureServer(pem, listener)
    : createServer(listener);
  const webSockets = new WebSocketServer({ noServer: true });
  native.on("upgrade", (request, socket, head) => {
    script.called(request.url!);
    webSockets.handleUpgrade(request, socket, head, () => {});
  });
  if (path === undefined) native.listen(0, "127.0.0.1");
  else native.listen(path);
  await once(native, "listening");
  return adopt(native);
}

/** Returns the report of a shutdown, whether it is complete or not. */
async function reportOf(shutdown: Promise<ShutdownReport>): Promise<ShutdownReport> {
  try {
    return await shutdown;
  } catch (error) {
    if (error instanceof ShutdownIncompleteError) return error.report;
    throw error;
  }
}
