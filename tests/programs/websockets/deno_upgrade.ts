import { graceful, serve } from "@x/graceful";
import { announce, cleanup, hijacked, idleGrace, timeout } from "./support.ts";

// The cast: the types of other runtimes do not know Deno's namespace.
const { Deno } = globalThis as unknown as {
  Deno: { upgradeWebSocket(request: Request): { socket: WebSocket; response: Response } };
};

const server = await serve((request) => {
  if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
}, { port: 0, hostname: "127.0.0.1" });
announce(server.addr);
await graceful(server, { timeout, idleGrace, hijacked, cleanup });
