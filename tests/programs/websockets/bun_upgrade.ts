import { graceful, serve } from "@x/graceful";
import { announce, cleanup, hijacked, idleGrace, timeout } from "./support.ts";

const server = await serve((request, { native }) => {
  if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
  // The cast: with this engine it is the `Bun.Server`.
  if ((native as { upgrade(request: Request): boolean }).upgrade(request)) return;
  return new Response("no", { status: 400 });
}, {
  port: 0,
  hostname: "127.0.0.1",
  websocket: { message: (socket, data) => void socket.send(data) },
});
announce(server.addr);
await graceful(server, { timeout, idleGrace, hijacked, cleanup });
