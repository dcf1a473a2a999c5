// A service as a user of the package writes it. Argument: the port.
import { graceful, serve } from "@x/graceful";

const server = await serve(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  return new Response(String(globalThis.process.pid));
}, { port: Number(globalThis.process.argv[2]), hostname: "127.0.0.1", handoff: "auto" });
await graceful(server, { timeout: 10_000, upgradeOn: "SIGHUP", log: false });
