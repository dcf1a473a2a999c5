/** A worker of `node:cluster` and a worker thread that want to upgrade themselves; says what they are told. */
import cluster from "node:cluster";
import { once } from "node:events";
import process from "node:process";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { graceful } from "../../mod.ts";

const isFirst = cluster.isPrimary && isMainThread;
if (isFirst) {
  await once(cluster.fork(), "exit");
  const [message] = await once(new Worker(new URL(import.meta.url)), "message");
  console.log(`thread: ${message};`);
  process.exit();
}
const signal = AbortSignal.abort();
const outcome = await graceful([], { upgradeOn: "SIGHUP", signal, exit: false, log: false })
  .then(() => "no refusal", String);
if (isMainThread) {
  console.log(`worker: ${outcome};`);
  process.exit();
}
parentPort!.postMessage(outcome);
