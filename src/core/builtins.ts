/**
 * The modules of the runtime whose ES import is expensive. An import reads all exports of a module, and on Node some
 * exports load further modules: those of `node:util` load streams and worker threads, 32 modules in Node 26. A program
 * that needs such a module loads it when it does.
 */
import process from "node:process";

export const nodeUtil: typeof import("node:util") = process.getBuiltinModule("node:util");

/** The module is loaded at the first call, which is in the last seconds of a process. */
export const diagnosticsChannel = (): typeof import("node:diagnostics_channel") =>
  process.getBuiltinModule("node:diagnostics_channel");
