/**
 * A service that knows the sockets of a service manager (`LISTEN_FDS`), and nothing of this package. With the argument
 * `notify` it says that it is ready by the protocol of `sd_notify(3)`; with `late` it says that after 7 s.
 */
import { createServer } from "node:http";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { notify } from "../../src/systemd/mod.ts";

const { LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES } = process.env;
console.log(`fds: ${LISTEN_FDS} ${LISTEN_PID === String(process.pid)} ${LISTEN_FDNAMES};`);

process.once("SIGTERM", () => {
  console.log(`SIGTERM: ${process.pid};`);
  server.close(() => process.exit());
  server.closeIdleConnections();
});
const server = createServer((_request, response) => response.end(String(process.pid)));
server.listen({ fd: 3 });
const [what] = process.argv.slice(2);
if (what === "late") await sleep(7_000);
if (what !== undefined) await notify({ STATUS: "about to serve" });
if (what !== undefined) await notify({ READY: 1 });
