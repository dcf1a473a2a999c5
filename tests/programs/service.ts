/** A service as a user would write it: serve, graceful, cleanup. Arguments: engine, timeout in ms. */
import process from "node:process";
import { type Engine, graceful, serve, type ServeInfo } from "../../mod.ts";

const [engine, timeout] = process.argv.slice(2);

function handler(request: Request, { draining }: ServeInfo): Response | Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/") return new Response("hello");
  console.log(`arrived: ${pathname}`);
  if (pathname === "/upload") return request.text().then((text) => new Response(text));
  return new Promise((resolve) => {
    if (pathname === "/stuck") return;
    if (pathname === "/leak") return void setInterval(() => {}, 60_000);
    draining.addEventListener("abort", () => resolve(new Response("drained")));
  });
}

const server = await serve(handler, {
  port: 0,
  hostname: "127.0.0.1",
  engine: engine as "auto" | Engine,
});
server.onShutdown(() => console.log("hook"));
const ending = graceful(server, {
  timeout: Number(timeout),
  // Less than by default, for the tests wait for it.
  idleGrace: 50,
  cleanup: [
    () => console.log("cleanup of what came first"),
    () => console.log("cleanup of what came last"),
  ],
});
// Only now: a signal that comes before graceful is called kills the process.
console.log(`port: ${server.addr.transport === "tcp" && server.addr.port};`);
const report = await ending;
console.log(`cause: ${report.cause}, forced: ${report.forced}`);
