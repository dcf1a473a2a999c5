/** A primary that lets go of its worker at once. The worker says what becomes of its server. */
import cluster from "node:cluster";
import process from "node:process";
import { serve } from "../../mod.ts";

if (cluster.isPrimary) {
  const worker = cluster.fork();
  worker.on("exit", (code) => console.log(`exit ${code};`));
  console.log(`starts: ${worker.process.pid}`);
  worker.disconnect();
} else {
  try {
    await serve(() => new Response("hello"), { port: 0, hostname: "127.0.0.1", engine: "node" });
    console.log("serves;");
  } catch (error) {
    // The cast: serve() rejects with errors.
    console.log(`${(error as Error).message};`);
    process.exit(3);
  }
}
