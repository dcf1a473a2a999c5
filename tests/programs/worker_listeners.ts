/**
 * Workers that open listeners at the same time, and see who answers. Its arguments are a folder for unix
 * sockets, and the number of rounds of each Worker. Says how many were wrong.
 */
import http from "node:http";
import { join } from "node:path";
import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Addr, serve, type ServeOptions } from "../../mod.ts";
import { request } from "../../support/client.ts";

const WORKERS = 4;

/** What is used of Deno. */
interface DenoRuntime {
  connect(addr: Addr): Promise<{
    readable: ReadableStream<Uint8Array>;
    writable: WritableStream<Uint8Array>;
  }>;
}

/**
 * What the server at an address answers; why it does not, if so. A client of `node:net` on Deno closes the
 * descriptor of a unix socket twice, each time, and the second time it can be another thread's.
 */
function answerOf(addr: Addr): Promise<string> {
  if (addr.transport === "unix" && "deno" in process.versions) return answerOnDeno(addr);
  const { promise, resolve } = Promise.withResolvers<string>();
  const where = addr.transport === "unix" ? { socketPath: addr.path } : {
    host: addr.hostname,
    port: addr.port,
  };
  const outgoing = http.get({ ...where, agent: false, timeout: 5_000 }, (response) => {
    let body = "";
    response.on("data", (chunk) => body += chunk);
    response.on("end", () => resolve(body));
  });
  outgoing.on("timeout", () => resolve("timeout"));
  outgoing.on("error", (error) => resolve(error.message));
  return promise;
}

async function answerOnDeno(addr: Addr): Promise<string> {
  // The cast: the types of other runtimes do not know Deno's namespace.
  const { Deno } = globalThis as unknown as { Deno: DenoRuntime };
  const { readable, writable } = await Deno.connect(addr);
  const writer = writable.getWriter();
  await writer.write(new TextEncoder().encode(request("/", "Connection: close")));
  return (await new Response(readable).text()).split("\r\n\r\n")[1]!;
}

/** Opens a server and closes it. Returns what went wrong. */
async function round(name: string, options: ServeOptions): Promise<string | undefined> {
  try {
    const server = await serve(() => new Response(name), { ...options, handoff: "inherit" });
    const answer = await answerOf(server.addr);
    await server.close();
    return answer === name ? undefined : answer;
  } catch (error) {
    return String(error);
  }
}

async function work(id: number, folder: string, rounds: number): Promise<string[]> {
  const wrong: string[] = [];
  for (let i = 0; i < rounds; i++) {
    const where = i % 2 === 0
      ? { port: 0, hostname: "127.0.0.1" }
      : { path: join(folder, `${id}`) };
    const error = await round(`${id} ${i}`, where);
    if (error !== undefined) wrong.push(error);
  }
  return wrong;
}

if (isMainThread) {
  const [folder, rounds] = process.argv.slice(2);
  const ends = Array.from({ length: WORKERS }, (_, id) => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: [id, folder, Number(rounds)],
    });
    return new Promise<string[]>((resolve) => worker.once("message", resolve));
  });
  const wrong = (await Promise.all(ends)).flat();
  console.log(`wrong: ${wrong.length} of ${WORKERS * Number(rounds)}; ${JSON.stringify(wrong)}`);
  process.exit();
} else {
  // The cast: what the main thread gives.
  const [id, folder, rounds] = workerData as [number, string, number];
  parentPort!.postMessage(await work(id, folder, rounds));
}
