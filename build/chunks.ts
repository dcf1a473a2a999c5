/**
 * Which file of the package each module becomes part of. Each file costs time at an import, so there are few; a module
 * that is imported late is in no file that is loaded at once; and a module is in one file only, so that all entry
 * points see the same state of the process. The classes of errors are in a small file of their own, and the main entry
 * point only exports what is in other files: a bundler that includes a part of a file includes all that it imports late.
 */
import { basename, dirname } from "node:path";
import type { ModuleInfo, PreRenderedChunk } from "rolldown";

/** The entry points that are small, and import little of what the others do. */
const SMALL = ["systemd", "health"];
const MAIN = "index";

/** What is known of the modules while they are dealt out. */
interface Graph {
  getModuleInfo(id: string): Pick<ModuleInfo, "importedIds" | "dynamicallyImportedIds"> | null;
}

/**
 * Returns the function that names the file of a module. It returns null for a module that only one entry point, or one
 * late import, needs: such a module is in the file of that one.
 *
 * @param entries The absolute path of the source of each entry point, by its name.
 * @param errors The absolute path of the module of the classes of errors.
 */
export function chunkNames(
  entries: Readonly<Record<string, string>>,
  errors: string,
): (id: string, graph: Graph) => string | null {
  let roots: Map<string, Set<string>> | undefined;
  const small = SMALL.map((name) => entries[name]!);
  return (id, graph) => {
    roots ??= rootsOfModules([...Object.values(entries), errors], graph);
    const of = roots.get(id);
    if (of === undefined || id === entries[MAIN]) return null;
    if (of.has(errors)) return "errors";
    if (of.size > 1 && small.some((entry) => of.has(entry))) return "base";
    if (of.has(entries[MAIN]!)) return "core";
    if (of.size < 2) return null;
    return Object.values(entries).some((entry) => of.has(entry)) ? "supervision" : "engines";
  };
}

/** Returns the name of the file of a chunk; that of a module that is loaded late tells the folder of its source. */
export function fileNameOf(
  { name, isDynamicEntry, facadeModuleId }: PreRenderedChunk,
): string {
  if (!isDynamicEntry || facadeModuleId === null) return "[name].js";
  return `${basename(dirname(facadeModuleId))}_${name}.js`;
}

/**
 * Returns for each module the roots that import it, through any number of modules, with static imports. A root is one
 * of the given modules, or a module that is imported late.
 */
function rootsOfModules(modules: readonly string[], graph: Graph): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const roots = new Set(modules);
  // The loop also goes through the roots that it adds.
  for (const root of roots) {
    const visit = (id: string) => {
      const known = found.get(id) ?? new Set();
      if (known.has(root)) return;
      found.set(id, known.add(root));
      const module = graph.getModuleInfo(id);
      for (const late of module?.dynamicallyImportedIds ?? []) roots.add(late);
      for (const imported of module?.importedIds ?? []) visit(imported);
    };
    visit(root);
  }
  return found;
}
