/** The recipe of docs/clusters.md loses nothing when the primary replaces its workers under load. */
import { test } from "node:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { Load } from "../../bench/restart/load.ts";
import { freePort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { runtime } from "../support/fixture.ts";
import { isRunning, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;
const RESTARTS = 3;

test(`[${runtime}] graceful() in the recipe of docs/clusters.md loses no request when all workers are replaced`, async () => {
  const page = readFileSync(new URL("../../docs/clusters.md", import.meta.url), "utf8");
  const [, recipe = ""] = /^```ts\n([^]*?)^```$/m.exec(page) ?? [];
  const port = await freePort();
  const code = `import { answer } from "../../../support/announce.ts";\n` +
    recipe.replace("9527", String(port)).replace('() => new Response("hello")', "answer")
      .replace("if (cluster.isPrimary) {", "console.log(`starts: ${process.pid}`);\n$&");
  // Inside the package, so that its own name resolves.
  const name = `snippets-${runtime}-${process.pid}-cluster`;
  const folder = new URL(`../programs/${name}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(new URL("snippet.ts", folder), code);
    const importMap = fileURLToPath(new URL("../std/import_map.json", import.meta.url));
    const program = run(`${name}/snippet.ts`, [], ["--allow-all", `--import-map=${importMap}`]);
    const pids = () =>
      [...program.output.matchAll(/^starts: (\d+)/gm)].map(([, pid]) => Number(pid));
    const primary = Number(await deadline(program.says(/^starts: (\d+)/m), SOON));
    const load = new Load({ port, fresh: 8, kept: 8, maxTime: 60_000 });
    const { tally } = load;
    await until(() => program.output, () => tally.firstAnswers.size > 0 || undefined);
    // The first requests may have come before the workers.
    const before = tally.failed;
    for (let i = 0; i < RESTARTS; i++) {
      const old = pids().filter((pid) => pid !== primary && isRunning(pid));
      process.kill(primary, "SIGHUP");
      await until(() => program.output, () => old.some(isRunning) ? undefined : true);
    }
    assertEquals([tally.failed - before, tally.messages.slice(before)], [0, []]);
    await load.stop();
    assert(tally.firstAnswers.size > RESTARTS);
    program.signal("SIGTERM");
    assertEquals(await deadline(program.exit, SOON), 0, program.output);
    assertEquals(pids().filter(isRunning), []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
