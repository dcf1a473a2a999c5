import { graceful, serve, type ServeInfo } from "@x/graceful";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const websocket = {
  message: (socket: { send(data: string | Uint8Array): void }, data: string | Uint8Array) =>
    socket.send(data),
};

const server = await serve((request: Request, { native }: ServeInfo) => {
  if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
  // The casts: with this engine it is the `Bun.Server`, and Bun wants no response for what it has
  // upgraded.
  const upgraded = (native as { upgrade(request: Request): boolean }).upgrade(request);
  return upgraded ? undefined as unknown as Response : new Response("no", { status: 400 });
}, { port: 0, hostname: "127.0.0.1", websocket });
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
