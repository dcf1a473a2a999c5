/** The package as JavaScript, as a registry serves it to Node: Node itself would strip the types at each import. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";
import { run } from "./children.ts";

/** Compiles the package, and resolves with the URL of its main module. */
export async function buildPackage(): Promise<string> {
  const folder = makeFolder();
  const root = fileURLToPath(new URL("../", import.meta.url));
  const config = join(folder, "tsconfig.json");
  writeFileSync(config, JSON.stringify(configOf(root, folder)));
  await run([join(root, "node_modules/.bin/tsc"), "--project", config]);
  return pathToFileURL(join(folder, "mod.js")).href;
}

/** A folder in bench/node_modules, where the dependency is found. It is removed with the end of this process. */
function makeFolder(): string {
  const folder = mkdtempSync(
    fileURLToPath(new URL("node_modules/.graceful-", import.meta.url)),
  );
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function configOf(root: string, folder: string): object {
  return {
    extends: join(root, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      declaration: false,
      isolatedDeclarations: false,
      rootDir: root,
      outDir: folder,
      rewriteRelativeImportExtensions: true,
      typeRoots: [join(root, "node_modules/@types")],
    },
    include: [],
    files: [join(root, "mod.ts")],
  };
}
