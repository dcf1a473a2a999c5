/** The recipes of docs/clusters.md lose nothing when all workers, or all threads, are replaced under load. */
import { test } from "node:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { Load } from "../../bench/restart/load.ts";
import { freePort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { runtime } from "../support/fixture.ts";
import { isRunning, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;
const RESTARTS = 2;

/** What the recipe writes in the test when all workers have been replaced, and the function that does it. */
const recipes = { cluster: "replaceWorkers", threads: "replaceThreads" };

for (const [index, [name, replace]] of Object.entries(recipes).entries()) {
  // The cluster of Deno loses new connections while workers come and go.
  if (name === "cluster" && runtime === "deno") continue;
  test(`[${runtime}] graceful() in the recipe of docs/clusters.md for ${name} loses no request when all are replaced`, async () => {
    const page = readFileSync(new URL("../../docs/clusters.md", import.meta.url), "utf8");
    const [, recipe = ""] = [...page.matchAll(/^```ts(?: not-run)?\n([^]*?)^```$/gm)][index]!;
    const port = await freePort();
    const code = recipe.replace("9527", String(port))
      .replace('() => new Response("hello")', "answer")
      .replace("availableParallelism()", "2")
      .replace("await graceful([]", 'console.log("listens to signals;");\n  $&')
      .replace(`.then(${replace})`, `.then(${replace}).then(() => console.log("replaced;"))`);
    const start = `import { answer } from "../../../support/announce.ts";\n` +
      "console.log(`starts: ${process.pid}`);\n";
    // Inside the package, so that its own name resolves.
    const folderName = `snippets-${runtime}-${process.pid}-${name}`;
    const folder = new URL(`../programs/${folderName}/`, import.meta.url);
    mkdirSync(folder, { recursive: true });
    try {
      writeFileSync(new URL("snippet.ts", folder), start + code);
      const importMap = fileURLToPath(new URL("../std/import_map.json", import.meta.url));
      const flags = ["--allow-all", "--unstable-net", `--import-map=${importMap}`];
      const program = run(`${folderName}/snippet.ts`, [], flags);
      await deadline(program.says(/^listens to signals;/m), SOON);
      const load = new Load({ port, fresh: 4, kept: 4, maxTime: 60_000 });
      const { tally } = load;
      await until(() => program.output, () => tally.firstAnswers.size > 0 || undefined);
      // Requests that came before anybody listened have failed.
      const before = tally.failed;
      for (let i = 1; i <= RESTARTS; i++) {
        program.signal("SIGHUP");
        const replaced = () => program.output.match(/^replaced;/gm)?.length === i || undefined;
        await until(() => program.output, replaced);
      }
      await load.stop();
      const lost = tally.messages.slice(before);
      // Node cannot tell the kernel to ignore handshakes, and may reset one that ends as a thread closes its socket.
      const mayLose = name === "threads" && runtime === "node";
      assert(tally.failed - before <= (mayLose ? 2 * RESTARTS : 0), lost.join("\n"));
      for (const message of lost) assertStringIncludes(message, "ECONNRESET (/fresh/");
      program.signal("SIGTERM");
      assertEquals(await deadline(program.exit, SOON), 0, program.output);
      const pids = [...program.output.matchAll(/^starts: (\d+)/gm)].map(([, pid]) => Number(pid));
      assertEquals(pids.filter(isRunning), []);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test(`[${runtime}] graceful() refuses 'upgradeOn' in workers and threads, and says what to use`, async () => {
  const program = run("workers_upgrade.ts", []);
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  const rules = {
    worker:
      "absent in a worker of node:cluster, because its primary replaces the worker (docs/clusters.md)",
    thread:
      "absent in a worker thread, because the main thread replaces the thread (docs/clusters.md)",
  };
  for (const [name, rule] of Object.entries(rules)) {
    const text = `${name}: TypeError: Cannot call graceful() as 'upgradeOn' must be ${rule}`;
    assertStringIncludes(program.output, text);
  }
});
