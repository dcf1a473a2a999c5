import { graceful, serve } from "@x/graceful";
import { Elysia } from "elysia";
import { websocket } from "elysia/ws";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const app = new Elysia()
  .get("/", () => "hello")
  .ws("/ws", { message: (ws, message) => void ws.send(message) });

const server = await serve((request, { native }) => {
  // The cast: with this engine it is the `Bun.Server`, by which Elysia upgrades.
  app.server ??= native as typeof app.server;
  return app.fetch(request);
}, {
  port: 0,
  hostname: "127.0.0.1",
  websocket,
});
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
