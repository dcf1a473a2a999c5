/**
 * A Worker whose server has closed, and whose descriptor's number is another file's by the time that the
 * Worker ends. Its argument is the `path` of a unix socket, or nothing. Says how many files were closed.
 */
import { closeSync, openSync, readlinkSync } from "node:fs";
import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { listen, serve, serveTcp } from "../../mod.ts";

/** More than a Worker has descriptors. */
const FILES = 40;

function isOpen(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === "/dev/null";
  } catch {
    return false;
  }
}

if (isMainThread) {
  const [path] = process.argv.slice(2);
  const worker = new Worker(new URL(import.meta.url), { workerData: path });
  await new Promise((resolve) => worker.once("message", resolve));
  const files = Array.from({ length: FILES }, () => openSync("/dev/null", "r"));
  worker.postMessage("end");
  await new Promise((resolve) => worker.once("exit", resolve));
  const closed = files.filter((fd) => !isOpen(fd));
  console.log(`closed: ${closed.length};`);
  for (const fd of files) if (!closed.includes(fd)) closeSync(fd);
} else {
  const where = typeof workerData === "string"
    ? { path: workerData }
    : { port: 0, hostname: "127.0.0.1" };
  const options = { ...where, handoff: "inherit" } as const;
  const servers = [
    await serve(() => new Response(), options),
    ...typeof workerData === "string" ? [] : [await serveTcp(() => {}, options)],
  ];
  for (const server of servers) await server.close();
  const listener = await listen(where);
  if (!("deno" in process.versions || "bun" in process.versions)) {
    try {
      console.log(`lent: ${listener.fd};`);
    } catch (error) {
      console.log(`refused: ${error};`);
    }
  }
  listener.close();
  parentPort!.once("message", () => process.exit());
  parentPort!.postMessage("closed");
}
