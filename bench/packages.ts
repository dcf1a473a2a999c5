/** The packages whose import and size are compared. */
import type { Runtime } from "../support/runtimes.ts";

/** What is imported. */
export interface Package {
  /** The name in tables. */
  readonly name: string;
  /** What an import statement names: a package of bench/node_modules, or a file of this repository. */
  readonly specifier: string;
}

/** The package itself, as source. */
export const OWN: Package = {
  name: "@x/graceful",
  specifier: new URL("../mod.ts", import.meta.url).href,
};

/** What a server needs in any case: packages are imported after it. */
export const BARE: Readonly<Record<Runtime, Package>> = {
  node: { name: "node:http", specifier: "node:http" },
  deno: { name: "an empty module", specifier: "data:text/javascript," },
  bun: { name: "an empty module", specifier: "data:text/javascript," },
};

/** The peers of each runtime. */
export const PEERS: Readonly<Record<Runtime, readonly Package[]>> = {
  node: [
    "http-terminator",
    "lil-http-terminator",
    "http-graceful-shutdown",
    "@godaddy/terminus",
    "stoppable",
    "srvx",
    "@hono/node-server",
  ].map((name) => ({ name, specifier: name })),
  deno: [{ name: "srvx", specifier: "srvx" }],
  bun: [{ name: "srvx", specifier: "srvx" }],
};
