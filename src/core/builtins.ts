/**
 * The modules of the runtime that are loaded when they are used. An ES import loads a module with the program, and reads
 * all its exports, which on Node loads further modules: those of `node:util` load streams and worker threads, 32 modules
 * in Node 26. A program that needs such a module loads it when it does; to start a server and to wait for its end needs
 * none of them.
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
