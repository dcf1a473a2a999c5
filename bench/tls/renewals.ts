/**
 * Renews the certificate of a service under load, many times, and counts what was lost.
 *
 * `node bench/tls/renewals.ts --runtime bun --engine bun --renewals 20 --requests 20000`
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { TlsLoad } from "../../support/tls_load.ts";
import { commandOf, type Runtime, RUNTIMES, versionOf } from "../../support/runtimes.ts";
import { authority } from "../../tests/support/certificates.ts";
import { start } from "../children.ts";
import { asCount, asRuntime } from "../restart/runtimes.ts";

/** The engines that each runtime has, and `serveTcp`. */
const ENGINES: Readonly<Record<Runtime, readonly string[]>> = {
  node: ["node", "tcp"],
  deno: ["deno", "deno-serve", "node", "tcp"],
  bun: ["bun", "node", "tcp"],
};

const { values } = parseArgs({
  options: {
    runtime: { type: "string" },
    engine: { type: "string" },
    renewals: { type: "string", default: "20" },
    requests: { type: "string", default: "20000" },
  },
});
const renewals = asCount("--renewals", values.renewals, 1);
const requests = asCount("--requests", values.requests, 1);

let failed = 0;
for (const runtime of values.runtime === undefined ? RUNTIMES : [asRuntime(values.runtime)]) {
  for (const engine of values.engine === undefined ? ENGINES[runtime] : [values.engine]) {
    failed += await measure(runtime, engine);
  }
}
process.exitCode = failed === 0 ? 0 : 1;

/** Runs one service, prints what became of the requests, and returns the number of those that failed. */
async function measure(runtime: Runtime, engine: string): Promise<number> {
  const command = commandOf(runtime, new URL("./service.ts", import.meta.url));
  const service = start([...command, engine], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = new Promise((resolve) => service.once("close", resolve));
  const lines = createInterface({ input: service.stdout! });
  const iterator = lines[Symbol.asyncIterator]();
  const next = async (pattern: RegExp) => {
    const { value } = await iterator.next();
    const match = pattern.exec(value ?? "");
    if (match === null) throw new Error(`The service has said ${value}`);
    return match;
  };
  const port = Number((await next(/^serves \S+ at (\d+)$/))[1]);
  // In Deno 2.9.5 a client that closes an HTTP/2 session can bring a server of node:http2 down.
  const hasHttp2 = engine !== "tcp" && !(runtime === "deno" && engine === "node");
  const http2 = hasHttp2 ? 8 : 0;
  const load = new TlsLoad({ port, ca: authority, fresh: 16, kept: 8, http2, perConnection: 50 });
  for (let renewal = 1; renewal <= renewals; renewal++) {
    await load.until(renewal * requests / (renewals + 1));
    process.kill(service.pid!, "SIGUSR2");
    await next(new RegExp(`^renewed ${renewal}$`));
  }
  await load.until(requests);
  await load.stop();
  process.kill(service.pid!, "SIGTERM");
  const code = await exit;
  const { failures, handshakes } = load;
  const presented = [...handshakes].map(([name, count]) => `${name} ${count}`).join(", ");
  console.log(
    `${versionOf(runtime)}, ${engine}: ${load.requests} requests, ${renewals} renewals, ` +
      `${failures.length} failed; handshakes: ${presented}; exit code ${code}`,
  );
  for (const message of failures.slice(0, 5)) console.log(`  ${message}`);
  return failures.length + (code === 0 ? 0 : 1);
}
