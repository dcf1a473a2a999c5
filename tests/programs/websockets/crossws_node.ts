import { createServer } from "node:http";
import { adopt, graceful } from "@x/graceful";
import crossws from "crossws/adapters/node";
import { announce, cleanup, idleGrace, timeout } from "./support.ts";

const ws = crossws({
  hooks: { message: (peer, message) => void peer.send(message.rawData) },
});
const native = createServer((_request, response) => void response.end("hello"));
native.on("upgrade", ws.handleUpgrade);

const server = adopt(native.listen(0, "127.0.0.1", () => announce(native.address())));
await graceful(server, { timeout, idleGrace, cleanup });
