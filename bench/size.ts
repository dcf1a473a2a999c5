/** The size of a package with its dependencies, bundled and minified by `bun build`. */
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { programOf } from "../support/runtimes.ts";
import { run } from "./children.ts";
import { OWN, type Package, PEERS } from "./packages.ts";

/** The size of one package. */
export interface SizeResult {
  readonly contestant: string;
  /** In bytes. */
  readonly minified: number;
  readonly gzipped: number;
}

/** Measures the package, as a whole and of one function each, and its peers. */
export async function measureSizes(): Promise<SizeResult[]> {
  const results: SizeResult[] = [];
  for (const one of [OWN, ...SINGLE, ...PEERS.node]) {
    results.push(await sizeOf(one));
  }
  return results;
}

/** What a program contains that uses one function alone. */
const SINGLE: readonly Package[] = ["adopt", "serve"].map((name) => ({
  name: `@x/graceful, ${name} alone`,
  specifier: new URL(`exports/${name}.ts`, import.meta.url).href,
}));

async function sizeOf({ name, specifier }: Package): Promise<SizeResult> {
  const entry = fileURLToPath(import.meta.resolve(specifier));
  const build = [
    programOf("bun"),
    "build",
    entry,
    "--minify",
    "--target=node",
  ] as const;
  const code = Buffer.from(await run(build), "latin1");
  return {
    contestant: name,
    minified: code.length,
    gzipped: gzipSync(code).length,
  };
}
