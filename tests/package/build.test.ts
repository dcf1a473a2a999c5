/** The package that `npm run build` makes. What it does once it is installed, `npm run test:package` tests. */
import { before, test } from "node:test";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { entryPoints } from "../../build/manifest.ts";
import { programOf } from "../../support/runtimes.ts";
import { runtime } from "../support/fixture.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const repository = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** The entry points that do something only when they are called: all but the command. */
const importable = entryPoints(repository).filter(({ name }) => name !== "cli");
// A folder that stays, which the next build empties: Deno runs no function of after() that belongs to a file.
const folder = join(root, "node_modules/.cache", `package-${runtime}`);

before(() => {
  execFileSync(programOf("node"), [join(root, "build/build.ts"), folder], { cwd: root });
});

const built = (name: string) => import(pathToFileURL(join(folder, `${name}.js`)).href);
const textOf = (name: string) => readFileSync(join(folder, name), "utf8");

test(`[${runtime}] npm run build has each entry point export what its source exports`, async () => {
  for (const { name, source } of importable) {
    const original = await import(pathToFileURL(join(root, source)).href);
    assertEquals(Object.keys(await built(name)).sort(), Object.keys(original).sort(), name);
  }
});

test(`[${runtime}] npm run build has the entry points share their state`, async () => {
  const main = await built("index");
  for (const [name, shared] of [["upgrade", "listen"], ["supervisor", "UpgradeError"]] as const) {
    assert((await built(name))[shared] === main[shared], name);
  }
  const files = readdirSync(folder).filter((file) => file.endsWith(".js"));
  const withState = files.filter((file) => /^const state = .*new Map\(\);$/m.test(textOf(file)));
  assertEquals(withState.length, 1, withState.join());
});

test(`[${runtime}] npm run build makes a package whose server serves and shuts down`, async () => {
  const { serve } = await built("index");
  const server = await serve(() => new Response("hello"), { port: 0, hostname: "127.0.0.1" });
  assertEquals(await (await fetch(server.url)).text(), "hello");
  await server.shutdown();
  await assertRejects(() => fetch(server.url), Error);
});

test(`[${runtime}] npm run build makes a package whose import loads few files, and no module that is expensive`, () => {
  const loaded = new Set<string>();
  const external = new Set<string>();
  const visit = (file: string) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const [, name] of textOf(file).matchAll(/^(?:import|export) [^;]*?"([^"]+)";$/gm)) {
      if (name!.startsWith("./")) visit(name!.slice(2));
      else external.add(name!);
    }
  };
  visit("index.js");
  assert(loaded.size <= 4, [...loaded].join());
  const cheap = ["buffer", "events", "fs", "net", "os", "path", "timers", "timers/promises"];
  assertEquals([...external].sort(), cheap.map((name) => `node:${name}`));
});

test(`[${runtime}] npm run build writes declarations that import nothing that has to be installed`, () => {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".d.ts"))) {
    const text = textOf(file);
    for (const [line, name] of text.matchAll(/^import .* from "([^"]+)";$/gm)) {
      if (name!.startsWith("./")) continue;
      assert(text.includes(`// @ts-ignore: the types of Node may be missing\n${line}`), line);
    }
  }
});

test(`[${runtime}] npm run build makes a package that require() loads`, {
  skip: runtime === "deno" && "Deno loads CommonJS from files that end in .cjs",
}, () => {
  const code = `console.log(typeof require(${JSON.stringify(join(folder, "index.js"))}).serve)`;
  const { stdout } = spawnSync(process.execPath, ["-e", code], { encoding: "utf8" });
  assertEquals(stdout.trim(), "function");
});
