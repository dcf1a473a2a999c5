/** A program whose owner of a server of Bun stops it itself, and has its process end gracefully. */
import process from "node:process";
import { graceful } from "../../mod.ts";
import { bun } from "../../src/runtime/api/bun.ts";

const native = bun().serve({ port: 0, fetch: () => new Response("hello") });
setTimeout(() => native.stop(), 50);
// The cast: a server of Bun is one that can be adopted.
await graceful(native as never, { log: false, cleanup: () => console.log("cleaned up") });
process.stdout.write(`exit code ${process.exitCode ?? 0}\n`);
