import { graceful, serve } from "@x/graceful";
import { Hono } from "hono";
import { upgradeWebSocket, websocket } from "hono/bun";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const app = new Hono();
// The cast: the types know more kinds of messages than clients send here.
const echo = upgradeWebSocket(() => ({
  onMessage: ({ data }, socket) => socket.send(data as string),
}));
app.get("/", echo, (context) => context.text("hello"));

const server = await serve(app.fetch, {
  port: 0,
  hostname: "127.0.0.1",
  websocket,
});
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
