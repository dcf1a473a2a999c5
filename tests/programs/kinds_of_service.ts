/**
 * A service that says "serves" and ends at SIGTERM.
 * Arguments: its hostname, its port, and the engine of `serve`, "tcp" for `serveTcp`, "adopt" for an adopted server of
 * node:http, or "adopt-native" for one of `Deno.serve` or `Bun.serve`; then the time in ms for which each request keeps
 * the process busy, by default 0.
 */
import { createServer } from "node:http";
import process from "node:process";
import { adopt, type Engine, graceful, serve, type Server, serveTcp } from "../../mod.ts";
import { keepBusy } from "../support/keep_busy.ts";

type Adoptable = Parameters<typeof adopt>[0];

const [hostname = "", port, kind, busy] = process.argv.slice(2);
const where = { port: Number(port), hostname };
const ending = graceful(await start(), { timeout: 10_000, log: false });
console.log("serves");
await ending;

function start(): Server | Promise<Server> {
  if (kind === "adopt") return startAdopted();
  if (kind === "adopt-native") return adopt(startNative());
  if (kind === "tcp") return serveTcp(speak, where);
  // The cast: the tests pass the name of an engine.
  return serve(answer, { ...where, engine: kind as Engine });
}

function answer(): Response {
  keepBusy(Number(busy));
  return new Response("hello");
}

async function startAdopted(): Promise<Server> {
  const native = createServer((_request, response) => {
    keepBusy(Number(busy));
    response.end("hello");
  });
  await new Promise<void>((resolve) => native.listen(where, resolve));
  return adopt(native);
}

/** Starts a server of the runtime. */
function startNative(): Adoptable {
  // The cast: Node's types lack the other runtimes.
  const { Deno, Bun } = globalThis as unknown as {
    Deno?: { serve(options: object, handler: () => Response): Adoptable };
    Bun: { serve(options: object): Adoptable };
  };
  return Deno?.serve({ ...where, onListen() {} }, answer) ?? Bun.serve({ ...where, fetch: answer });
}

async function speak(conn: Parameters<Parameters<typeof serveTcp>[0]>[0]): Promise<void> {
  keepBusy(Number(busy));
  const writer = conn.writable.getWriter();
  await writer.write(new TextEncoder().encode("hello"));
  await writer.close();
}
