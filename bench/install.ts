/** Installs what the bench alone depends on: the peers, and what draws the charts. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { run } from "./children.ts";

const FOLDER = new URL("./", import.meta.url);

/** Installs the dependencies of bench/package.json, unless they are there. */
export async function installDependencies(): Promise<void> {
  if (areInstalled()) return;
  console.log("Installs the dependencies of bench/ ...");
  await run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: fileURLToPath(FOLDER),
  });
}

/** Whether npm has come to the end of an installation of the versions that are wanted now. */
function areInstalled(): boolean {
  const hidden = new URL("node_modules/.package-lock.json", FOLDER);
  if (!existsSync(hidden)) return false;
  const wanted: Record<string, string> = read(new URL("package.json", FOLDER)).dependencies;
  const { packages } = read(hidden);
  return Object.entries(wanted).every(([name, version]) =>
    packages[`node_modules/${name}`]?.version === version
  );
}

// deno-lint-ignore no-explicit-any -- these files are npm's
function read(file: URL): any {
  return JSON.parse(readFileSync(file, "utf8"));
}
