/** The resources that keep a process alive, as far as a runtime reports them. */
import process from "node:process";

/** The objects that Bun has not collected, by their type. */
interface HeapStats {
  readonly protectedObjectTypeCounts: Readonly<Record<string, number>>;
}

/** The names, among those that Bun counts, of what an event loop can wait for. */
const WAITED_FOR = /^(Timeout|Immediate|.*(Server|Socket|Subprocess|Worker|Listener|Watcher))$/;

/** The names of what is still active: of timers, sockets, processes, as the runtime calls them. */
export function activeResources(): string[] {
  if ("bun" in process.versions) return countedByBun();
  const names = process.getActiveResourcesInfo();
  // Node counts what it writes the log to, which keeps no process alive.
  for (const stream of [process.stdout, process.stderr]) forget(names, handleOf(stream));
  return names;
}

function forget(names: string[], name: string | undefined): void {
  const index = names.findIndex((other) => other === name);
  if (index >= 0) names.splice(index, 1);
}

/** Returns the name that Node has for the resource behind a stream, if there is one. */
function handleOf(stream: object): string | undefined {
  // The cast: `_handle` is not in the types, and absent where the stream is a file.
  const { _handle: handle } = stream as { _handle?: object };
  return handle && `${handle.constructor.name}Wrap`;
}

function countedByBun(): string[] {
  // The cast: the types of node do not know Bun's modules.
  const { heapStats } = process.getBuiltinModule("bun:jsc" as "fs") as unknown as {
    heapStats(): HeapStats;
  };
  return Object.entries(heapStats().protectedObjectTypeCounts)
    .flatMap(([name, count]) => WAITED_FOR.test(name) ? Array<string>(count).fill(name) : []);
}
