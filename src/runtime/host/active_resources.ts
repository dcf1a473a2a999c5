/** The resources that keep a process alive, as far as a runtime reports them. */
import process from "node:process";
import { hostInternals } from "./internals.ts";

/** The part of Bun's heap statistics that counts, by type, the objects that must not be garbage-collected. */
interface HeapStats {
  readonly protectedObjectTypeCounts: Readonly<Record<string, number>>;
}

/** Matches the types of objects for which Bun's event loop can wait. */
const WAITED_FOR = /^(Timeout|Immediate|.*(Server|Socket|Subprocess|Worker|Listener|Watcher))$/;

/** Returns the names of the timers, sockets, processes and so on that are still active, as the runtime calls them. */
export function activeResources(): string[] {
  if ("bun" in process.versions) return countedByBun();
  const names = process.getActiveResourcesInfo();
  // Node lists stdout and stderr too, which keep no process alive.
  for (const stream of [process.stdout, process.stderr]) {
    forget(names, hostInternals.resourceBehind(stream));
  }
  return names;
}

function forget(names: string[], name: string | undefined): void {
  const index = names.findIndex((other) => other === name);
  if (index >= 0) names.splice(index, 1);
}

function countedByBun(): string[] {
  // The cast: Node's types lack Bun's modules.
  const { heapStats } = process.getBuiltinModule("bun:jsc" as "fs") as unknown as {
    heapStats(): HeapStats;
  };
  return Object.entries(heapStats().protectedObjectTypeCounts)
    .flatMap(([name, count]) => WAITED_FOR.test(name) ? Array<string>(count).fill(name) : []);
}
