/**
 * Uploads over HTTP/2 that their handler does not read to the end. They hold a drain for no longer than the
 * half second in which their clients may end them, whatever the handler has left in the buffers.
 */
import { once } from "node:events";
import http2 from "node:http2";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline, delay } from "@std/async";
import { adopt, type Engine, serve, type Server } from "../../mod.ts";
import { listening } from "../support/adopted.ts";
import { engines, pem, runtime } from "../support/fixture.ts";
import { type Frame, Http2Client } from "../support/http2_client.ts";

/** In ms. */
const SOON = 8_000;

/** In ms: half a second for the client, and what it takes to find that over. */
const AT_MOST = 2_500;

/** In ms: the time between two pieces of an upload. */
const PAUSE = 25;

/** How many pieces a client sends that goes on. A client that stops sends half of them. */
const PIECES = 40;

/** In bytes: the small upload fits into all buffers, and the large one into none. */
const SIZES = [10_000, 400_000];

/** In bytes: more than the buffers of a connection take together. */
const BIG = 8_000_000;

/** The flag of the last frame of a body. */
const END_STREAM = 1;

/** Called by a handler when a request has arrived. Resolves when the handler may answer. */
type Arrived = (server: Server) => Promise<void>;

/** How to start a server whose handler does not read the upload, and the status of its answer. */
interface Upload {
  start(arrived: Arrived): Promise<Server>;
  status?: number;
}

type Stop = (request: Request) => unknown;

const handlers: Record<string, Stop> = {
  "does not touch the body": () => {},
  "looks at the body": ({ body }) => body,
  "cancels the body": ({ body }) => body?.cancel(),
  "cancels its reader": async ({ body }) => {
    const reader = body!.getReader();
    await reader.read();
    await reader.cancel();
  },
  "leaves the loop": async ({ body }) => {
    for await (const _piece of body!) break;
  },
  "reads a piece": async ({ body }) => {
    const reader = body!.getReader();
    await reader.read();
    reader.releaseLock();
  },
  "keeps the lock": ({ body }) => body!.getReader().read(),
  "throws": async ({ body }) => {
    for await (const _piece of body!) throw new Error("thrown in the loop");
  },
};

const uploads: Record<string, Upload> = {};

for (const engine of engines) {
  // Deno's own server waits for the upload on its own terms.
  if (engine === "deno-serve") continue;
  for (const [what, stop] of Object.entries(handlers)) {
    uploads[`engine ${engine}, a handler that ${what}`] = {
      start: (arrived) => served(engine, stop, arrived),
      status: what === "throws" ? 500 : 200,
    };
  }
}

/** What listeners of "request" do with the request or its stream, and those of "stream" with the stream. */
const listeners: Record<
  string,
  (readable: http2.Http2ServerRequest | http2.Http2Stream) => unknown
> = {
  "does not touch the upload": () => {},
  "pauses after a piece": async (readable) => {
    const piece = once(readable, "data");
    readable.on("data", () => readable.pause());
    await piece;
  },
  "reads a piece": async (readable) => {
    await once(readable, "readable");
    readable.read(1);
  },
};

for (const isPlain of [false, true]) {
  const kind = isPlain ? "adopted http2.Server" : "adopted Http2SecureServer";
  const create = () => isPlain ? http2.createServer() : http2.createSecureServer(pem);
  for (const [what, stop] of Object.entries(listeners)) {
    uploads[`${kind}, a listener of "request" that ${what}`] = {
      start: (arrived) =>
        adopted(create(), (native, ready) => {
          native.on("request", async (req, res) => {
            await ready();
            await stop(req);
            res.end("stopped");
          });
        }, arrived),
    };
    uploads[`${kind}, a listener of "stream" that ${what}`] = {
      start: (arrived) =>
        adopted(create(), (native, ready) => {
          native.on("stream", async (stream: http2.ServerHttp2Stream) => {
            stream.on("error", () => {});
            await ready();
            await stop(stream);
            stream.respond({ ":status": 200 });
            stream.end("stopped");
          });
        }, arrived),
    };
  }
  uploads[`${kind}, a listener of "request" that destroys the request`] = {
    start: (arrived) =>
      adopted(create(), (native, ready) => {
        native.on("request", async (req, res) => {
          await ready();
          await once(req, "data");
          req.destroy();
          res.end("stopped");
        });
      }, arrived),
  };
}

for (const [kind, upload] of Object.entries(uploads)) {
  test(`[${runtime}, ${kind}] shutdown() waits half a second at most for the unread upload`, async () => {
    const cases = SIZES.flatMap((size) =>
      ["goes on", "stops"].flatMap((client) =>
        ["before", "during"].map((when) => ({ size, client, when }))
      )
    );
    const outcomes = await Promise.all(cases.map(async (one) => {
      const { duration, connections, response } = await drained(upload, one);
      return { ...one, isSoon: duration < AT_MOST, connections, response };
    }));
    const response = upload.status === 500 ? "500 failed" : "200 stopped";
    assertEquals(
      outcomes,
      cases.map((one) => ({ ...one, isSoon: true, connections: [], response })),
    );
  });
}

for (const engine of engines) {
  if (engine === "deno-serve") continue;

  test(`[${runtime}, engine ${engine}] shutdown() sends a slow reader the whole response to an unread upload`, async () => {
    const body = "x".repeat(BIG);
    const server = await served(engine, handlers["reads a piece"]!, async () => {}, body);
    // Only the socket is slow: without room, some servers hold the end of the stream back.
    const client = await Http2Client.connect(server.addr, { window: 2 * BIG });
    client.makeRoom(0, 2 * BIG);
    client.pause();
    client.post(1, "/");
    client.upload(1, "x".repeat(10_000));
    const done = server.shutdown({ timeout: SOON });
    // Longer than the client of an upload is given to end it.
    await delay(1_000);
    client.resume();
    const isLast = ({ type, flags }: Frame) => type === "DATA" && (flags & END_STREAM) !== 0;
    await deadline(client.receives(isLast), SOON);
    assertEquals(client.body(1).length, BIG);
    client.vanish();
    await deadline(done, SOON);
  });

  test(`[${runtime}, engine ${engine}] shutdown() does not wait for an upload that its client has reset`, async () => {
    const arrived = Promise.withResolvers<void>();
    const server = await served(engine, handlers["reads a piece"]!, async ({ draining }) => {
      arrived.resolve();
      if (!draining.aborted) await once(draining, "abort");
    });
    const client = await Http2Client.connect(server.addr);
    client.post(1, "/");
    for (let i = 0; i < 4; i++) client.upload(1, "x".repeat(10_000));
    client.reset(1);
    await deadline(arrived.promise, SOON);
    const { duration, connections } = await server.shutdown({ timeout: SOON });
    assertEquals([duration < AT_MOST, connections], [true, []]);
    client.vanish();
  });
}

/** Has an upload answered before the drain or during it, and shuts the server down. */
async function drained(
  { start }: Upload,
  { size, client, when }: { size: number; client: string; when: string },
): Promise<{ duration: number; connections: readonly unknown[]; response: string }> {
  const arrived = Promise.withResolvers<void>();
  const server = await start(async ({ draining }) => {
    arrived.resolve();
    if (when === "before") return;
    if (!draining.aborted) await once(draining, "abort");
  });
  const session = http2.connect(server.url, { rejectUnauthorized: false });
  session.on("error", () => {});
  const stream = session.request({ ":path": "/", ":method": "POST" });
  const response = responseOf(stream);
  const sending = send(stream, size, client);
  await deadline<unknown>(when === "before" ? response : arrived.promise, SOON);
  // A failed shutdown has a report too, which the caller wants to see.
  const report = await server.shutdown({ timeout: SOON / 2 }).catch((error) => error.report);
  // The rest of the response may be on the way yet.
  const received = await deadline(response, SOON);
  session.destroy();
  await sending;
  await server.close();
  return { ...report, response: received };
}

/** Resolves to the status and the body of a response, and to the error behind them if there is one. */
function responseOf(stream: http2.ClientHttp2Stream): Promise<string> {
  // The client of Deno may give out the body before the head.
  let [status, body] = ["no status", ""];
  stream.setEncoding("utf8");
  stream.on("response", (headers) => status = String(headers[":status"]));
  stream.on("data", (piece) => body += piece);
  return new Promise((resolve) => {
    stream.on("end", () => setImmediate(() => resolve(`${status} ${body}`)));
    stream.on("error", (error) => resolve(`${status} ${body}, ${error.message}`));
  });
}

async function send(stream: http2.ClientHttp2Stream, size: number, client: string): Promise<void> {
  const count = client === "stops" ? PIECES / 2 : PIECES;
  const piece = "x".repeat(size / PIECES);
  for (let i = 0; i < count && !stream.closed && !stream.destroyed; i++) {
    stream.write(piece);
    await delay(PAUSE);
  }
}

async function served(
  engine: Engine,
  stop: Stop,
  arrived: Arrived,
  body = "stopped",
): Promise<Server> {
  const server: Server = await serve(async (request) => {
    await arrived(server);
    await stop(request);
    return new Response(body);
  }, {
    ...pem,
    port: 0,
    hostname: "127.0.0.1",
    engine,
    onError: () => new Response("failed", { status: 500 }),
  });
  return server;
}

async function adopted(
  native: http2.Http2Server,
  listen: (native: http2.Http2Server, ready: () => Promise<void>) => void,
  arrived: Arrived,
): Promise<Server> {
  listen(native, () => arrived(server));
  await listening(native);
  const server = adopt(native);
  return server;
}
