import { createServer } from "node:http";
import { adopt, graceful } from "@x/graceful";
import { Server } from "socket.io";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const native = createServer((_request, response) => void response.end("hello"));
const server = adopt(native);
// It takes the place of the other listeners to "request", ours too.
const io = new Server(native);
io.on("connection", (socket) => {
  socket.on("echo", (text: string) => socket.emit("echo", text));
});
native.listen(0, "127.0.0.1", () => announce(native.address()));
// Not `io.close()`, which would close the HTTP server too, in its own way, and with it what is new.
server.onShutdown(() => io.engine.close());
await graceful(server, { timeout, idleGrace, cleanup: [cleanup, () => io.close()] });
