/**
 * Checks how the files of `src` import each other: each folder imports only from the folders above it in
 * {@linkcode LAYERS}, no files import each other in a circle, and what belongs to one runtime stays in
 * `src/runtime/`. Prints each violation; exits with 1 if there is one. Part of `npm test`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The folders and files of `src`, from the lowest layer to the highest. ARCHITECTURE.md explains them. */
const LAYERS: readonly (readonly string[])[] = [
  ["core/"],
  ["options/"],
  ["server/"],
  ["runtime/api/"],
  ["runtime/host/"],
  ["runtime/linux/"],
  ["runtime/node/", "runtime/deno/", "runtime/bun/"],
  ["runtime/channels.ts", "runtime/engines.ts", "runtime/native_servers.ts", "runtime/sockets.ts"],
  ["systemd/"],
  ["listener/"],
  ["upgrade/"],
  ["serve.ts", "serve_tcp.ts", "adopt.ts", "start_server.ts"],
  ["graceful/"],
  ["health/"],
  ["supervisor/"],
  ["cli/"],
];
/** What the rest of `src` may import of `src/runtime/`: the doors, the host, and the kernel. */
const PUBLIC_RUNTIME = /^runtime\/([a-z_]+\.ts$|host\/|linux\/)/;
/** What asks which runtime this is. */
const RUNTIME_QUESTION = /process\.versions|globalThis\.(Deno|Bun)|"(deno|bun)" in /;

const root = fileURLToPath(new URL("../src/", import.meta.url));
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts"))
  .sort();

/** A file without its comments, whose examples import as well. */
const codeOf = (file: string) =>
  readFileSync(root + file, "utf8").replace(/^\s*\/\*\*[^]*?\*\/|^\s*\/\/.*$/gm, "");

/** The files that a file imports from `src`, by `import`, `export … from` or `import()`. */
function importsOf(file: string): string[] {
  const specifiers = codeOf(file).matchAll(/(?:\bfrom|\bimport\(?)\s*"(\.[^"]+)"/g);
  return [...specifiers].map(([, path]) => posix.join(posix.dirname(file), path!));
}

function layerOf(file: string): number {
  return LAYERS.findIndex((names) =>
    names.some((name) => name.endsWith("/") ? file.startsWith(name) : file === name)
  );
}

function isInOneFolder(a: string, b: string): boolean {
  return posix.dirname(a) === posix.dirname(b);
}

function layerViolations(): string[] {
  return files.flatMap((file) => {
    if (layerOf(file) < 0) return [`${file} is in no layer: name it in tests/layers.ts`];
    return importsOf(file).flatMap((imported) => {
      if (layerOf(imported) > layerOf(file)) {
        return [`${file} imports ${imported} of a higher layer`];
      }
      const isLevel = layerOf(imported) === layerOf(file) && !isInOneFolder(file, imported);
      if (isLevel) return [`${file} imports ${imported} of another folder of its layer`];
      const isInside = file.startsWith("runtime/") || !imported.startsWith("runtime/");
      if (isInside || PUBLIC_RUNTIME.test(imported)) return [];
      return [`${file} imports ${imported}, which is private to src/runtime`];
    });
  });
}

/** The circles of files, each told once, from the first of its files that was met. */
function circles(): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  function visit(file: string, path: readonly string[]): void {
    const start = path.indexOf(file);
    if (start >= 0) found.push(`circle: ${[...path.slice(start), file].join(" -> ")}`);
    if (start >= 0 || done.has(file)) return;
    for (const imported of importsOf(file)) visit(imported, [...path, file]);
    done.add(file);
  }
  for (const file of files) visit(file, []);
  return found;
}

function runtimeQuestions(): string[] {
  return files
    .filter((file) => !file.startsWith("runtime/") && RUNTIME_QUESTION.test(codeOf(file)))
    .map((file) => `${file} asks which runtime it is on`);
}

const violations = [...layerViolations(), ...circles(), ...runtimeQuestions()];
for (const violation of violations) console.error(violation);
process.exitCode = violations.length === 0 ? 0 : 1;
