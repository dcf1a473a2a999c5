import { graceful, serve } from "@x/graceful";
import { Hono } from "hono";
import { upgradeWebSocket, websocket } from "hono/bun";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const app = new Hono();
app.get("/", upgradeWebSocket(() => ({ onMessage: ({ data }, ws) => ws.send(data as string) })));
app.get("/", (context) => context.text("hello"));

const server = await serve(app.fetch, {
  port: 0,
  hostname: "127.0.0.1",
  // The cast: Hono's type knows what its WebSockets carry.
  websocket: websocket as never,
});
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
