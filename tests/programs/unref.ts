/**
 * A program whose server does not keep it alive. The first argument is the engine, the second "serve", "tls", "tcp" or
 * "adopt", the third the calls to make: "unref", "ref" or "renew", such as "unref,ref". Ends by itself once its server
 * is unref'd, one second after a request has been answered.
 */
import http from "node:http";
import process from "node:process";
import { adopt, type Engine, serve, type Server, serveTcp } from "../../mod.ts";
import { first, get, second } from "../support/certificates.ts";

const [engine, kind, calls] = process.argv.slice(2);

async function start(): Promise<Server> {
  const where = { port: 0, hostname: "127.0.0.1" };
  // The cast: the test names an engine of this runtime.
  if (kind === "serve") {
    return await serve(() => new Response("hello"), { ...where, engine: engine as Engine });
  }
  if (kind === "tls") {
    return await serve(() => new Response("hello"), {
      ...where,
      ...first,
      engine: engine as Engine,
    });
  }
  if (kind === "tcp") return await serveTcp((conn) => conn.readable.cancel(), where);
  const native = http.createServer((_req, res) => void res.end("hello"));
  await new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
  return adopt(native);
}

const server = await start();
if (kind === "tls") await get(server.addr, "/");
else if (kind !== "tcp") {
  await (await fetch(server.url, { headers: { connection: "close" } })).text();
}
for (const call of calls!.split(",")) {
  if (call === "renew") await server.setCertificate(second);
  // The cast: the test names the calls.
  else server[call as "ref" | "unref"]();
}
console.log(`engine: ${server.engine}; calls made;`);
