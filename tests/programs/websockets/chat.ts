/** A chat that is restarted by SIGHUP, as a user of each runtime would write it. */
import { createServer } from "node:http";
import process from "node:process";
import { adopt, graceful, listen, serve, type Server } from "@x/graceful";
import { WebSocketServer } from "ws";

const local = { port: 0, hostname: "127.0.0.1" };

/** What all kinds of WebSockets of a server have. */
interface Member {
  send(text: string): unknown;
}

const members = new Set<Member>();

function say(text: string): void {
  for (const member of members) member.send(text);
}

async function startOnNode(): Promise<Server> {
  const listener = await listen(local);
  const native = createServer();
  new WebSocketServer({ server: native }).on("connection", (socket) => {
    members.add(socket);
    socket.on("message", (data) => say(String(data)));
    socket.on("close", () => members.delete(socket));
  });
  native.listen({ fd: listener.fd });
  return adopt(native);
}

function startOnDeno(): Promise<Server> {
  // The cast: the types of other runtimes do not know Deno's namespace.
  const { Deno } = globalThis as unknown as {
    Deno: { upgradeWebSocket(request: Request): { socket: WebSocket; response: Response } };
  };
  return serve((request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => members.add(socket);
    socket.onmessage = ({ data }) => say(data);
    socket.onclose = () => members.delete(socket);
    return response;
  }, { ...local, handoff: "auto" });
}

function startOnBun(): Promise<Server> {
  return serve((request, { native }) => {
    // The cast: with this engine it is the `Bun.Server`.
    if ((native as { upgrade(request: Request): boolean }).upgrade(request)) return;
    return new Response("no", { status: 426 });
  }, {
    ...local,
    handoff: "auto",
    websocket: {
      open: (socket) => void members.add(socket),
      message: (_socket, data) => say(String(data)),
      close: (socket) => void members.delete(socket),
    },
  });
}

const server =
  await ("deno" in process.versions
    ? startOnDeno()
    : "bun" in process.versions
    ? startOnBun()
    : startOnNode());
server.onShutdown(() => say("the server leaves"));
const ending = graceful(server, { upgradeOn: "SIGHUP" });
console.log(`up: ${process.pid} ${JSON.stringify(server.addr)};`);
const { cause, exitCode } = await ending;
console.log(`down: ${process.pid} ${cause} ${exitCode};`);
