import { basename, dirname, normalize } from "node:path";
import process from "node:process";

/**
 * Returns the path of a program in a form with which `child_process` passes the arguments on as they are. Deno takes
 * the arguments of its own executable for options of Node, unless a subcommand comes first, and translates them. It
 * compares paths character by character.
 *
 * @see https://github.com/denoland/deno/blob/main/ext/node/polyfills/internal/child_process.ts
 */
export function withArgumentsAsTheyAre(program: string): string {
  if (!("deno" in process.versions) || normalize(program) !== process.execPath) return program;
  return `${dirname(process.execPath)}/./${basename(process.execPath)}`;
}
