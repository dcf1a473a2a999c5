/** `npm run scope -- @name`. */
import { test } from "node:test";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { programOf } from "../../support/runtimes.ts";
import { runtime } from "../support/fixture.ts";

const script = fileURLToPath(new URL("../../build/scope.ts", import.meta.url));

/** Makes a repository with two files that name the package. */
function repository(): string {
  const folder = mkdtempSync(join(tmpdir(), "graceful-scope-"));
  writeFileSync(join(folder, "package.json"), '{ "name": "@x/graceful", "version": "1.0.0" }\n');
  writeFileSync(join(folder, "main.ts"), 'import "@x/graceful";\n/"@x\\/graceful"/.test("");\n');
  execFileSync("git", ["init", "--quiet"], { cwd: folder });
  execFileSync("git", ["add", "."], { cwd: folder });
  return folder;
}

function setScope(folder: string, ...args: string[]) {
  return spawnSync(programOf("node"), [script, ...args], { cwd: folder, encoding: "utf8" });
}

test(`[${runtime}] npm run scope replaces the name of the package everywhere, a second time too`, () => {
  const folder = repository();
  try {
    for (const scope of ["@first-one", "@ab"]) {
      assertEquals(setScope(folder, scope).status, 0);
      assertEquals(
        readFileSync(join(folder, "main.ts"), "utf8"),
        `import "${scope}/graceful";\n/"${scope}\\/graceful"/.test("");\n`,
      );
      const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      assertEquals(manifest, { name: `${scope}/graceful`, version: "1.0.0" });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test(`[${runtime}] npm run scope refuses a name that JSR would refuse, and changes nothing`, () => {
  const folder = repository();
  try {
    for (
      const args of [[], ["@x"], ["name"], ["@Name"], ["@-ab"], ["@ab-"], ["@a--b"], [
        `@${"a".repeat(21)}`,
      ]]
    ) {
      const { status, stderr } = setScope(folder, ...args);
      assertEquals(status, 2);
      assert(stderr.startsWith("Cannot set the scope as it must be an @ and 2 to 20 "), stderr);
    }
    assert(readFileSync(join(folder, "main.ts"), "utf8").includes('"@x/graceful"'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
