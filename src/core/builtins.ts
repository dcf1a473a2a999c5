/**
 * The modules of the runtime that are loaded at their first use, through these functions. An ES import would load a
 * module with the program and read all its exports, which loads further modules: `node:util` of Node 26 loads streams and
 * worker threads, 32 modules in all. A server that starts and waits for its end needs none of these modules.
 */
import process from "node:process";

export const nodeUtil = (): typeof import("node:util") => process.getBuiltinModule("node:util");

export const childProcess = (): typeof import("node:child_process") =>
  process.getBuiltinModule("node:child_process");

export const nodeCrypto = (): typeof import("node:crypto") =>
  process.getBuiltinModule("node:crypto");

export const nodeDns = (): typeof import("node:dns") => process.getBuiltinModule("node:dns");

export const nodeTty = (): typeof import("node:tty") => process.getBuiltinModule("node:tty");

export const workerThreads = (): typeof import("node:worker_threads") =>
  process.getBuiltinModule("node:worker_threads");

export const diagnosticsChannel = (): typeof import("node:diagnostics_channel") =>
  process.getBuiltinModule("node:diagnostics_channel");

/** With the module come `node:child_process` and `node:dgram`. */
export const nodeCluster = (): typeof import("node:cluster") =>
  process.getBuiltinModule("node:cluster");
