/**
 * The modules of the runtime whose ES import is expensive. An import reads all exports of a module, and on Node some
 * exports load further modules: an import of `node:util` loads streams and worker threads, 32 modules in Node 26.
 * This package therefore loads such a module at its first use, through one of these functions.
 */
import process from "node:process";

export const nodeUtil: typeof import("node:util") = process.getBuiltinModule("node:util");

/** Returns `node:diagnostics_channel`. The first call loads the module. */
export const diagnosticsChannel = (): typeof import("node:diagnostics_channel") =>
  process.getBuiltinModule("node:diagnostics_channel");
