import { serve, upgradeWebSocket } from "@hono/node-server";
import { adopt, graceful } from "@x/graceful";
import { Hono } from "hono";
import { WebSocketServer } from "ws";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const app = new Hono();
app.get("/", upgradeWebSocket(() => ({ onMessage: ({ data }, ws) => ws.send(data as string) })));
app.get("/", (context) => context.text("hello"));

const wss = new WebSocketServer({ noServer: true });
const address = { port: 0, hostname: "127.0.0.1" };
const native = serve({ ...address, fetch: app.fetch, websocket: { server: wss } }, announce);

const server = adopt(native);
server.onShutdown(() => {
  for (const client of wss.clients) client.close(1001);
});
await graceful(server, { timeout, idleGrace, cleanup });
