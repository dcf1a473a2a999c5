/** A server of node:http, which Deno has listen at a second address (DENO_SERVE_ADDRESS). */
import http from "node:http";
import { adopt, graceful } from "../../mod.ts";

const native = http.createServer((req, res) => {
  if (req.url !== "/wait") return void res.end("hello");
  console.log("waiting");
  // In a later turn: connections have been told to end by then.
  server.onShutdown(() => setTimeout(() => res.end("waited"), 50));
});
const server = adopt(native);
native.listen(0, "127.0.0.1", () => console.log("ready"));
await graceful(server, {
  timeout: 4_000,
  idleGrace: 0,
  cleanup: () => console.log("cleaned up"),
});
