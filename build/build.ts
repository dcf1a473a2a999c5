/**
 * `npm run build`: makes the package for npm in `dist/`, or in the folder that is given: JavaScript, declarations and
 * source maps, a few files for each entry point. CONTRIBUTING.md says how it is tested and published.
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type InputOptions, type OutputOptions, rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { chunkNames, fileNameOf } from "./chunks.ts";
import { completeDeclarations, GLOBALS } from "./declarations.ts";
import { entryPoints, manifest } from "./manifest.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = resolve(process.argv[2] ?? join(root, "dist"));

const PROCESS = "node:process";

/** The files that are part of the package as they are. README.md links to `docs`. */
const COPIED = ["README.md", "CHANGELOG.md", "docs"];

const repository = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const entries = Object.fromEntries(
  entryPoints(repository).map(({ name, source }) => [name, join(root, source)]),
);
const input: InputOptions = {
  cwd: root,
  input: entries,
  platform: "node",
  external: (id) => id.startsWith("node:") && id !== PROCESS,
  // Required by the way in which the modules are dealt out. In fact each entry point has the exports of its source.
  preserveEntrySignatures: "allow-extension",
};

async function bundle(options: InputOptions, output: OutputOptions): Promise<void> {
  const build = await rolldown({ ...input, ...options });
  await build.write({ dir: folder, format: "esm", ...output });
  await build.close();
}

await bundle({
  transform: { target: "es2022" },
  plugins: [{
    name: "process",
    // An import of node:process reads all its exports, which on Node opens stdin, stdout and stderr. The same object
    // is a global variable of each runtime.
    resolveId: (id) => id === PROCESS ? { id: "\0process", moduleSideEffects: false } : null,
    load: (id) => id === "\0process" ? "export default process;" : null,
  }],
}, {
  sourcemap: true,
  comments: { legal: true, annotation: true, jsdoc: false },
  cleanDir: true,
  chunkFileNames: fileNameOf,
  codeSplitting: {
    // The groups decide: a module that is loaded late stays out of what is loaded at once.
    includeDependenciesRecursively: false,
    groups: [{
      name: chunkNames(entries, join(root, "src/core/errors.ts")),
      debugName: "by entry points",
    }],
  },
});
await bundle({ plugins: [dts({ emitDtsOnly: true, oxc: true }), completeDeclarations()] }, {
  chunkFileNames: "[name].js",
});

for (const name of COPIED) cpSync(join(root, name), join(folder, name), { recursive: true });
cpSync(join(root, "build", GLOBALS), join(folder, GLOBALS));
writeFileSync(join(folder, "LICENSE"), licenses());
writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest(repository), null, 2)}\n`);

/** Returns the license of this package, and that of the package whose code is part of the bundle. */
function licenses(): string {
  const own = readFileSync(join(root, "LICENSE"), "utf8");
  const srvx = readFileSync(join(root, "node_modules/srvx/LICENSE"), "utf8");
  return `${own}\n---\n\nThis package contains code of srvx, under its own license:\n\n${srvx}`;
}
