import { graceful, serve } from "@x/graceful";
import crossws from "crossws/adapters/bun";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const ws = crossws({
  hooks: { message: (peer, message) => void peer.send(message.rawData) },
});

const server = await serve((request, { native }) => {
  if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
  // The cast: with this engine it is the `Bun.Server`.
  return ws.handleUpgrade(request, native as Parameters<typeof ws.handleUpgrade>[1]);
}, { port: 0, hostname: "127.0.0.1", websocket: ws.websocket });
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
