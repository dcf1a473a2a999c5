/** The package.json of the published package, which is made from that of the repository. */

/** An entry point: the name of its files, its path in `exports`, and its source. */
export interface EntryPoint {
  readonly name: string;
  readonly path: string;
  readonly source: string;
}

/** The fields of the package.json of the repository that the build reads. */
export interface RepositoryManifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
}

/** The file of the command `graceful`. */
const COMMAND = "cli";

/** Returns the entry points that a package.json exports: `./upgrade` is in the files `upgrade.*`, and `.` in `index.*`. */
export function entryPoints({ exports }: RepositoryManifest): EntryPoint[] {
  return Object.entries(exports).map(([path, source]) => ({
    name: path === "." ? "index" : path.slice("./".length),
    path,
    source,
  }));
}

/** Returns the package.json of the published package. */
export function manifest(repository: RepositoryManifest): Record<string, unknown> {
  const { name, version, description, license, engines } = repository;
  const exports = entryPoints(repository).map(({ name, path }) => [
    path,
    { types: `./${name}.d.ts`, default: `./${name}.js` },
  ]);
  return {
    name,
    version,
    description,
    keywords: [
      "graceful",
      "shutdown",
      "restart",
      "server",
      "http",
      "supervisor",
      "node",
      "deno",
      "bun",
    ],
    license,
    type: "module",
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    bin: { graceful: `${COMMAND}.js` },
    // An import of the command runs it; all other modules do nothing when they are imported.
    sideEffects: [`./${COMMAND}.js`],
    engines,
    files: ["*.js", "*.js.map", "*.d.ts", "docs", "CHANGELOG.md"],
    publishConfig: { access: "public" },
  };
}
