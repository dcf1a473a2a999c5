import { createServer } from "node:http";
import { adopt, graceful } from "@x/graceful";
import { WebSocketServer } from "ws";
import { announce, cleanup, hijacked, idleGrace, timeout } from "./support.ts";

const native = createServer((_request, response) => void response.end("hello"));
const wss = new WebSocketServer({ server: native });
wss.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});

const server = adopt(native.listen(0, "127.0.0.1", () => announce(native.address())));
await graceful(server, { timeout, idleGrace, hijacked, cleanup });
