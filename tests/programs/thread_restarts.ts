/**
 * A service of several worker threads, which the main thread replaces one by one at SIGHUP. Its argument is the port.
 */
import { once } from "node:events";
import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { graceful, serve } from "../../mod.ts";
import { answer } from "../../support/announce.ts";

const THREADS = 2;

async function startThread(): Promise<Worker> {
  const thread = new Worker(new URL(import.meta.url), { workerData: Number(process.argv[2]) });
  await once(thread, "message");
  return thread;
}

async function endThread(thread: Worker): Promise<void> {
  const exit = once(thread, "exit");
  thread.postMessage("end");
  await exit;
}

if (isMainThread) {
  let threads = await Promise.all(Array.from({ length: THREADS }, startThread));
  console.log(`starts: ${process.pid}`);
  process.on("SIGHUP", async () => {
    const old = threads;
    threads = [];
    for (const thread of old) {
      threads.push(await startThread());
      await endThread(thread);
    }
    console.log("replaced;");
  });
  await graceful([], { cleanup: async () => void await Promise.all(threads.map(endThread)) });
} else {
  const stop = new AbortController();
  parentPort!.once("message", () => stop.abort());
  const server = await serve(answer, { port: workerData, hostname: "127.0.0.1", reusePort: true });
  parentPort!.postMessage("ready");
  await graceful(server, { signal: stop.signal, timeout: 15_000, log: false });
}
