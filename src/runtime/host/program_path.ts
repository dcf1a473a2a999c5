import { basename, dirname, normalize } from "node:path";
import process from "node:process";

/**
 * Returns the path of a program in a form that makes `child_process` pass the arguments on unchanged. When a program
 * starts Deno's own executable, Deno takes the arguments for options of Node, unless a subcommand comes first, and
 * translates them. Deno recognizes its executable by comparing paths character by character.
 *
 * @see https://github.com/denoland/deno/blob/main/ext/node/polyfills/internal/child_process.ts
 */
export function withArgumentsAsTheyAre(program: string): string {
  if (!("deno" in process.versions) || normalize(program) !== process.execPath) return program;
  return `${dirname(process.execPath)}/./${basename(process.execPath)}`;
}
