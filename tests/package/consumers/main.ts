/**
 * `npm run test:package`: packs the package, installs it into empty folders, and uses it there as its users do, on each
 * version of Node that it is for, on Deno and on Bun. Downloads from the registry of npm, and takes minutes: it is no part
 * of `npm test`. An argument selects the steps whose names contain it.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { once } from "node:events";
import { freePort } from "../../../support/ports.ts";
import { programOf } from "../../../support/runtimes.ts";
import { until } from "../../../support/until.ts";
import { get, startLoad } from "./load.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const programs = fileURLToPath(new URL("programs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "graceful-package-"));
const pattern = process.argv[2] ?? "";

/** Commands that look for a program find the runtimes that package.json pins. */
const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` };

/** The versions of the tools of users. The versions of Deno, Bun and the newest Node are those of package.json. */
const NODES = ["22", "24"];
const TYPESCRIPTS = ["5.9", "7"];
const BUNDLERS = ["esbuild@0.28", "rolldown@1", "vite@8"];

/** The command that runs a file, by the name of the runtime. */
const runtimes: Record<string, readonly string[]> = {
  node: [programOf("node")],
  deno: [programOf("deno"), "run", "--allow-all"],
  bun: [programOf("bun")],
};

let passed = 0;
const failed: string[] = [];

async function step(name: string, run: () => unknown): Promise<void> {
  if (!name.includes(pattern)) return;
  try {
    await run();
    passed++;
    console.log(`passed: ${name}`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED: ${name}\n${error instanceof Error ? error.stack : error}`);
  }
}

/** Makes a folder with packages of npm. */
function install(name: string, ...packages: string[]): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "package.json"), JSON.stringify({ type: "module", private: true }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent", ...packages], {
    cwd: path,
    stdio: ["ignore", "ignore", "inherit"],
  });
  cpSync(programs, path, { recursive: true });
  return path;
}

function pack(): string {
  const dist = join(folder, "dist");
  execFileSync(programOf("node"), [join(root, "build/build.ts"), dist]);
  const output = execFileSync("npm", ["pack", "--json", dist], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  // The answer is a list in one version of npm, and an object by name in another.
  const [packed] = Object.values(JSON.parse(output)) as { filename: string; size: number }[];
  console.log(`packed: ${packed!.filename}, ${(packed!.size / 1_000).toFixed(0)} KB`);
  return join(folder, packed!.filename);
}

/** Starts a program and ends it with the step, whatever happens. */
async function running(
  [command, ...args]: readonly string[],
  cwd: string,
  use: (child: ChildProcess) => Promise<void>,
): Promise<void> {
  const child = spawn(command!, args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
  try {
    await use(child);
  } finally {
    child.kill("SIGKILL");
  }
}

/** Resolves with the first answer of a program. */
const answers = (port: number, child: ChildProcess) =>
  until(() => `an answer at ${port}`, () => {
    assert.equal(child.exitCode, null, "the program has ended");
    return get(port).catch(() => undefined);
  });

/** SIGTERM under load: all that was accepted is answered, and the process ends with code 0. */
async function terminates(command: readonly string[], cwd: string): Promise<void> {
  const port = await freePort();
  await running([...command, String(port)], cwd, async (child) => {
    await answers(port, child);
    const load = startLoad(port);
    await until(() => "100 answers", () => load.tally.answered > 100 || undefined);
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await exit, [0, null]);
    await load.stop();
    assert.deepEqual(load.tally.lost, []);
  });
}

/** SIGHUP under load: another process serves, and no request is lost. */
async function upgrades(command: readonly string[], cwd: string): Promise<void> {
  const port = await freePort();
  await running([...command, String(port)], cwd, async (child) => {
    const first = await answers(port, child);
    const load = startLoad(port);
    const exit = once(child, "exit");
    child.kill("SIGHUP");
    try {
      assert.deepEqual(await exit, [0, null]);
      await until(() => "a successor", () => load.tally.answers.size > 1 || undefined);
    } finally {
      await load.stop();
      const last = await get(port).catch(() => first);
      if (last !== first) process.kill(Number(last), "SIGTERM");
    }
    assert.deepEqual([load.tally.lost, load.tally.refused], [[], 0]);
  });
}

/** `graceful run`: workers are replaced at SIGHUP and end with the supervisor. */
async function supervises(command: readonly string[], cwd: string): Promise<void> {
  const port = await freePort();
  const cli = join(cwd, "node_modules/@x/graceful/cli.js");
  const worker = [...command, join(cwd, "worker.mjs")];
  const address = `127.0.0.1:${port}`;
  const run = [...command, cli, "run", "--listen", address, "--min-uptime", "0", "--", ...worker];
  await running(["env", `SERVICE=${address}`, ...run], cwd, async (child) => {
    const first = await answers(port, child);
    const load = startLoad(port);
    child.kill("SIGHUP");
    await until(
      () => "a second worker",
      () => [...load.tally.answers].some((pid) => pid !== first) || undefined,
    );
    await load.stop();
    assert.deepEqual([load.tally.lost, load.tally.refused], [[], 0]);
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await exit, [0, null]);
  });
}

/** How users of these runtimes start the command; with others, the file of the command is run. */
const COMMANDS: Record<string, readonly string[]> = {
  node: ["npx", "graceful"],
  bun: [programOf("bun"), "x", "--bun", "graceful"],
};

/** The command is found, and can be run. */
function shows([program, ...args]: readonly string[], cwd: string): void {
  const text = execFileSync(program!, [...args, "--help"], { cwd, env, encoding: "utf8" });
  assert.match(text, /^graceful run/);
}

function requires(command: readonly string[], cwd: string): void {
  const [program, ...args] = [...command, join(cwd, "required.cjs")];
  const { stdout, stderr } = spawnSync(program!, args, { cwd, encoding: "utf8" });
  assert.equal(stdout, "hello true\n", stderr);
}

/** The types that a program may have, and what its compiler is told of them. */
const TYPES: Record<string, { lib: string[]; types: string[]; packages: string[] }> = {
  "nothing": { lib: ["es2022"], types: [], packages: [] },
  "dom": { lib: ["es2022", "dom"], types: [], packages: [] },
  "@types/node": { lib: ["es2022"], types: ["node"], packages: ["@types/node"] },
  "@types/bun": { lib: ["es2022"], types: ["bun"], packages: ["@types/bun"] },
};

function compiles(
  cwd: string,
  resolution: "nodenext" | "bundler",
  { lib, types }: { lib: string[]; types: string[] },
): void {
  writeFileSync(
    join(cwd, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        noEmit: true,
        strict: true,
        target: "es2022",
        module: resolution === "bundler" ? "esnext" : resolution,
        moduleResolution: resolution,
        skipLibCheck: false,
        lib,
        types,
      },
      files: types.length > 0 ? ["typed.ts", "native.ts"] : ["typed.ts"],
    }),
  );
  const tsc = join(cwd, "node_modules/.bin/tsc");
  const { stdout, status } = spawnSync(process.execPath, [tsc], { cwd, encoding: "utf8" });
  // Types of others may have errors of their own with an old lib.
  const errors = stdout.split("\n").filter((line) => /^(typed|native)|\/graceful\//.test(line));
  assert.deepEqual(errors, []);
  assert(status === 0 || stdout.includes("error TS"), `the compiler has failed: ${stdout}`);
}

const bundlers: Record<string, (cwd: string) => void> = {
  "esbuild": (cwd) =>
    tool(
      cwd,
      "esbuild",
      "service.mjs",
      "--bundle",
      "--platform=node",
      "--format=esm",
      "--outfile=out/esbuild.mjs",
    ),
  "rolldown": (cwd) =>
    tool(
      cwd,
      "rolldown",
      "service.mjs",
      "--platform",
      "node",
      "--format",
      "esm",
      "--dir",
      "out/rolldown",
    ),
  "vite": (cwd) => tool(cwd, "vite", "build", "--ssr", "service.mjs", "--outDir", "out/vite"),
  "bun build": (cwd) => {
    execFileSync(programOf("bun"), ["build", "service.mjs", "--target=node", "--outdir=out/bun"], {
      cwd,
      stdio: "ignore",
    });
  },
};
const BUNDLES: Record<string, string> = {
  "esbuild": "out/esbuild.mjs",
  "rolldown": "out/rolldown/service.js",
  "vite": "out/vite/service.js",
  "bun build": "out/bun/service.js",
};

function tool(cwd: string, name: string, ...args: string[]): void {
  execFileSync(join(cwd, "node_modules/.bin", name), args, { cwd, env, stdio: "ignore" });
}

try {
  const tarball = pack();
  for (const version of NODES) {
    const path = install(`node${version}`, `node@${version}`);
    runtimes[`node ${version}`] = [join(path, "node_modules/node/bin/node")];
  }
  const cwd = install("user", tarball);
  for (const [name, command] of Object.entries(runtimes)) {
    const service = [...command, join(cwd, "service.mjs")];
    await step(`[${name}] SIGTERM under load`, () => terminates(service, cwd));
    await step(`[${name}] SIGHUP under load`, () => upgrades(service, cwd));
    await step(`[${name}] graceful run`, () => supervises(command, cwd));
    await step(
      `[${name}] graceful --help`,
      () => shows(COMMANDS[name] ?? [...command, "node_modules/.bin/graceful"], cwd),
    );
    await step(`[${name}] require()`, () => requires(command, cwd));
  }
  await step("[deno] check", () => {
    execFileSync(programOf("deno"), ["check", "typed.ts", "native.ts"], { cwd, stdio: "pipe" });
  });
  for (const version of TYPESCRIPTS) {
    for (const [name, types] of Object.entries(TYPES)) {
      const project = install(
        `types-${version}-${types.packages.join().replace(/\W/g, "")}${name.length}`,
        tarball,
        `typescript@${version}`,
        ...types.packages,
      );
      for (const resolution of ["nodenext", "bundler"] as const) {
        await step(
          `[typescript ${version}] ${name}, ${resolution}`,
          () => compiles(project, resolution, types),
        );
      }
    }
  }
  const project = install("bundles", tarball, ...BUNDLERS);
  for (const [name, bundle] of Object.entries(bundlers)) {
    await step(`[${name}] a bundle ends and restarts`, async () => {
      bundle(project);
      const service = [programOf("node"), join(project, BUNDLES[name]!)];
      await terminates(service, project);
      await upgrades(service, project);
    });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
