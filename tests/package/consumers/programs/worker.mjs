// A worker of `graceful run`.
import { graceful, serve } from "@x/graceful";

const [hostname, port] = globalThis.process.env.SERVICE.split(":");
const server = await serve(
  () => new Response(String(globalThis.process.pid)),
  { port: Number(port), hostname },
);
await graceful(server, { timeout: 10_000 });
