import { serve as serveHono, upgradeWebSocket } from "@hono/node-server";
import { adopt, graceful } from "@x/graceful";
import { Hono } from "hono";
import { WebSocketServer } from "ws";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const app = new Hono();
// The cast: the types know more kinds of messages than clients send here.
const echo = upgradeWebSocket(() => ({
  onMessage: ({ data }, socket) => socket.send(data as string),
}));
app.get("/", echo, (context) => context.text("hello"));

const native = serveHono({
  fetch: app.fetch,
  port: 0,
  hostname: "127.0.0.1",
  websocket: { server: new WebSocketServer({ noServer: true }) },
}, announce);
await graceful(adopt(native), { timeout, idleGrace, cleanup });
