/**
 * `npm test`: the checkers, then the same test files on Node, Deno and Bun. With arguments, only
 * those files on each runtime; `--only node|deno|bun` leaves out the others and the checkers.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
/** The runtimes that package.json pins, not the machine's own. */
const bin = (name: string) =>
  fileURLToPath(new URL(`../node_modules/.bin/${name}`, import.meta.url));

const RUNTIMES = ["node", "deno", "bun"];
const USAGE = `node tests/run.ts [--only ${RUNTIMES.join("|")}] [FILE.test.ts ...]

Without arguments: the checkers, then every test file on Node, Deno and Bun.
FILE.test.ts   only these files, on each runtime
--only NAME    only this runtime, and no checkers
--help         this text`;

/** Ends the run because of its arguments. */
function refuse(why: string): never {
  console.error(`${why}\n\n${USAGE}`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      options: { only: { type: "string" }, help: { type: "boolean" } },
      allowPositionals: true,
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

const { values: { only, help }, positionals } = readArguments();
if (help) {
  console.log(USAGE);
  process.exit(0);
}
if (only !== undefined && !RUNTIMES.includes(only)) {
  refuse(`--only must be one of ${RUNTIMES.join(", ")}: current value is "${only}"`);
}
const files = positionals.length > 0
  ? positionals
  : readdirSync(new URL(".", import.meta.url), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts")).sort()
    .map((name) => `tests/${name}`);

const importMap = "--import-map=tests/std/import_map.json";
const checks: Record<string, string[][]> = {
  "tsc": [[bin("tsc"), "--noEmit"]],
  "layers": [[bin("node"), "tests/layers.ts"]],
  "deno fmt": [[bin("deno"), "fmt", "--check"]],
  "deno lint": [[bin("deno"), "lint"]],
  "deno doc": [[
    bin("deno"),
    "doc",
    "--lint",
    "mod.ts",
    "src/upgrade/mod.ts",
    "src/systemd/mod.ts",
    "src/health/mod.ts",
    "src/supervisor/mod.ts",
  ]],
  "deno publish": [[bin("deno"), "publish", "--dry-run", "--allow-dirty"]],
};
/** Where Node keeps compiled modules: the tests start hundreds of programs, and each would compile all of `src` again. */
const compileCache = fileURLToPath(new URL("../node_modules/.cache/node-compile", import.meta.url));
/** The number of files that run at the same time: more than there are processors, as they wait more than they work. */
const concurrency = availableParallelism() + 1;
/** The number of files that one process of Deno or Bun runs. With more, the last process would run alone for long. */
const FILES_PER_PROCESS = 6;
/** The commands of each runtime. Node itself runs each file in a process of its own. */
const runtimes: Record<string, string[][]> = {
  node: [[
    bin("node"),
    "--test",
    "--test-reporter=dot",
    "--test-timeout=60000",
    `--test-concurrency=${concurrency}`,
    ...files,
  ]],
  deno: shards().map((shard) => [
    bin("deno"),
    "test",
    "--allow-all",
    "--no-check",
    importMap,
    "--reporter=dot",
    ...shard,
  ]),
  bun: shards().map((shard) => [bin("bun"), "test", "--timeout=60000", "--dots", ...shard]),
};

/** Deals the files out to the processes that run them, so that files of one folder run in different ones. */
function shards(): string[][] {
  const wanted = Math.max(concurrency, Math.ceil(files.length / FILES_PER_PROCESS));
  const count = Math.min(wanted, files.length);
  return Array.from(
    { length: count },
    (_, index) => files.filter((_, position) => position % count === index),
  );
}

/** Runs a command. What it writes is shown, or if it is `silent`, only if it fails. */
function run([command, ...args]: string[], silent: boolean): Promise<boolean> {
  const child = spawn(command!, args, {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1", NODE_COMPILE_CACHE: compileCache },
    stdio: ["ignore", silent ? "pipe" : "inherit", silent ? "pipe" : "inherit"],
  });
  let output = "";
  child.stdout?.on("data", (text) => output += text);
  child.stderr?.on("data", (text) => output += text);
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(error);
      resolve(false);
    });
    child.on("close", (code) => {
      if (code !== 0) process.stderr.write(output);
      resolve(code === 0);
    });
  });
}

/** Runs commands, several at the same time. Returns whether all have succeeded. */
async function runAll(commands: string[][], silent: boolean): Promise<boolean> {
  const [left, succeeded]: [string[][], boolean[]] = [[...commands], []];
  const runLeft = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      succeeded.push(await run(next, silent));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, runLeft));
  return succeeded.every(Boolean);
}

const steps = only === undefined ? { ...checks, ...runtimes } : { [only]: runtimes[only]! };
let passed = 0;
const failed: string[] = [];
for (const [name, commands] of Object.entries(steps)) {
  const start = performance.now();
  // The output of several commands would be mixed up.
  const silent = name in checks || commands.length > 1;
  const ok = await runAll(commands, silent);
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  console.log(`${ok ? "passed" : "FAILED"}: ${name} (${seconds} s)`);
  if (ok) passed++;
  else failed.push(name);
}
console.log(`${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
