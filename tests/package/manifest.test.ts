/** What the package says of itself in several files, and how it refuses a Node that is too old. */
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { assertEquals, assertThrows } from "@std/assert";
import { entryPoints, manifest } from "../../build/manifest.ts";
import { checkNodeVersion } from "../../src/runtime/host/node_version.ts";
import { runtime } from "../support/fixture.ts";

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
const npm = read("package.json");
const jsr = read("deno.json");

test(`[${runtime}] package.json and deno.json say the same`, () => {
  for (const field of ["name", "version", "license", "exports"]) {
    assertEquals(jsr[field], npm[field], field);
  }
  assertEquals(jsr.imports["srvx/node"], `npm:srvx@${npm.dependencies.srvx}/node`);
});

test(`[${runtime}] manifest() publishes the entry points of package.json`, () => {
  const published = manifest(npm);
  assertEquals(published.version, npm.version);
  assertEquals(Object.keys(published.exports as object), [
    ...Object.keys(npm.exports),
    "./package.json",
  ]);
  assertEquals(entryPoints(npm)[1], {
    name: "upgrade",
    path: "./upgrade",
    source: "./src/upgrade/mod.ts",
  });
});

test(`[${runtime}] checkNodeVersion() refuses a Node below the version of 'engines' with one line`, () => {
  const [minimum, major, minor] = /(\d+)\.(\d+)$/.exec(npm.engines.node)!;
  // Only Node has a version to check.
  if (runtime !== "node") return checkNodeVersion("18.0.0");
  for (const version of [`${major}.${Number(minor) - 1}.9`, `${Number(major) - 1}.99.0`]) {
    assertThrows(
      () => checkNodeVersion(version),
      Error,
      `Cannot run on Node ${version}: @x/graceful needs Node ${minimum} or later, or Deno, or Bun`,
    );
  }
  checkNodeVersion(`${minimum}.0`);
  checkNodeVersion(`${Number(major) + 1}.0.0`);
});
