/** Connections that are no longer HTTP: WebSockets on Deno and Bun. */
import { test } from "node:test";
import { once } from "node:events";
import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, serve, type ServeInfo, type Server } from "../../mod.ts";
import { connect, webSocketUpgrade } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** What the test uses of the two runtimes' own ways to upgrade. */
interface Upgraders {
  Deno: { upgradeWebSocket(request: Request): { socket: WebSocket; response: Response } };
  Bun: { upgrade(request: Request): boolean };
}

/** A server whose WebSockets echo, on an engine that has them; after the gate, if there is one. */
function echoServer(engine: Engine, gate?: () => Promise<void>): Promise<Server> {
  const options = { port: 0, hostname: "127.0.0.1", engine };
  if (engine === "bun") {
    const websocket = {
      message: (socket: { send(data: string): void }, data: string) => socket.send(data),
    };
    return serve(async (request: Request, { native }: ServeInfo) => {
      await gate?.();
      const upgraded = (native as Upgraders["Bun"]).upgrade(request);
      return upgraded ? undefined : new Response("no", { status: 400 });
    }, { ...options, websocket });
  }
  return serve(async (request) => {
    await gate?.();
    const { Deno } = globalThis as unknown as Upgraders;
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  }, options);
}

/** A WebSocket that is open both ways, and the code it closes with. */
async function openWebSocket(
  { url }: Server,
): Promise<{ socket: WebSocket; code: Promise<number> }> {
  const socket = new WebSocket(url.replace("http", "ws"));
  const code = new Promise<number>((resolve) => {
    socket.addEventListener("close", (event) => resolve(event.code));
  });
  socket.addEventListener("open", () => socket.send("are you there?"));
  await once(socket, "message");
  return { socket, code };
}

for (const engine of engines) {
  if (engine === "node") continue;
  const on = `[${runtime}, ${engine}]`;

  test(`${on} shutdown() tells WebSockets 1001 at its start, and waits for them`, async () => {
    const server = await echoServer(engine);
    const sockets = [await openWebSocket(server), await openWebSocket(server)];
    assertEquals(server.connections().map(({ state }) => state), ["hijacked", "hijacked"]);
    const done = server.shutdown();
    assertEquals(await Promise.all(sockets.map(({ code }) => code)), [1001, 1001]);
    assertEquals((await deadline(done, SOON)).reason, "drained");
  });

  test(`${on} shutdown() tells 1001 to a WebSocket that opens during the drain too`, async () => {
    const [arrived, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const server = await echoServer(engine, async () => {
      arrived.resolve();
      await gate.promise;
    });
    const socket = new WebSocket(server.url.replace("http", "ws"));
    const code = once(socket, "close").then(([event]) => event.code);
    await deadline(arrived.promise, SOON);
    const done = server.shutdown();
    gate.resolve();
    assertEquals(await deadline(code, SOON), 1001);
    await deadline(done, SOON);
  });

  test(`${on} close() ends a WebSocket whose client does not answer`, async () => {
    const server = await echoServer(engine);
    const client = await connect(server.addr);
    client.write(webSocketUpgrade);
    assertEquals((await client.head()).status, 101);
    const waited = server.shutdown({ timeout: 200 });
    // Bun ends its side with the close frame, and this client answers that.
    if (engine === "bun") await waited;
    else await assertRejects(() => waited, Error, "hijacked");
    await deadline(server.close(), SOON);
    await deadline(client.closed, SOON);
  });
}

if (engines.includes("deno")) {
  test(`[${runtime}, deno] serve() lets a thousand WebSockets outlive their HTTP`, async () => {
    const server = await echoServer("deno");
    for (let batch = 0; batch < 20; batch++) {
      const sockets = await Promise.all(Array.from({ length: 50 }, () => openWebSocket(server)));
      for (const { socket } of sockets) socket.close(1000);
      for (const { code } of sockets) assertEquals(await code, 1000);
    }
    await deadline(server.shutdown(), SOON);
  });
}
