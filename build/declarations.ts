/** What the declarations need so that they compile in programs without the types of Node, and with an old `lib`. */
import type { Plugin } from "rolldown";

/** The declarations of names of the web, next to this file and in the package. */
export const GLOBALS = "globals.d.ts";

/**
 * Returns a plugin that completes each file of declarations. Types of Node are `any` where they are not installed: the
 * error of their import is ignored. And names of the web are declared, see {@linkcode GLOBALS}.
 */
export function completeDeclarations(): Plugin {
  return {
    name: "complete-declarations",
    renderChunk(code) {
      const tolerant = code.replace(
        /^import .* from "node:.*$/gm,
        "// @ts-ignore: the types of Node may be missing\n$&",
      );
      return `/// <reference path="./${GLOBALS}" />\n${tolerant}`;
    },
  };
}
