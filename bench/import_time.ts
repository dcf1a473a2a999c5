/** The time that the import of a package adds to a fresh process that has imported what each server needs. */
import { commandOf, type Runtime } from "../support/runtimes.ts";
import { buildPackage } from "./built_package.ts";
import { run } from "./children.ts";
import { BARE, OWN, type Package, PEERS } from "./packages.ts";
import { type Summary, summaryOf } from "./stats.ts";

/** The import of one package, in ms. */
export interface ImportResult {
  readonly runtime: Runtime;
  readonly contestant: string;
  readonly time: Summary;
}

/** Measures the imports in rounds that take turns, each in a process of its own. */
export async function measureImports(
  runtime: Runtime,
  rounds: number,
): Promise<ImportResult[]> {
  const packages = [BARE[runtime], await own(runtime), ...PEERS[runtime]];
  const times = packages.map((): number[] => []);
  // The first round fills the caches of the runtime and of the disk.
  for (let round = -1; round < rounds; round++) {
    for (const [i, { specifier }] of packages.entries()) {
      const time = await timeOf(
        runtime,
        specifier,
        i === 0 ? [] : [BARE[runtime].specifier],
      );
      if (round >= 0) times[i]!.push(time);
    }
  }
  return packages.map(({ name }, i) => ({
    runtime,
    contestant: name,
    time: summaryOf(times[i]!),
  }));
}

/** Deno and Bun import the source: both keep or make JavaScript of it on their own. */
async function own(runtime: Runtime): Promise<Package> {
  return runtime === "node" ? { ...OWN, specifier: await buildPackage() } : OWN;
}

async function timeOf(
  runtime: Runtime,
  specifier: string,
  before: readonly string[],
): Promise<number> {
  const command = commandOf(
    runtime,
    new URL("import_child.ts", import.meta.url),
  );
  return Number(await run([...command, specifier, ...before]));
}
