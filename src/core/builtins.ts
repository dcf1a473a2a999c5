/**
 * The modules of the runtime whose ES import is expensive. An import reads all exports of a module, and on Node some
 * exports of `node:http` and `node:util` load further modules, such as undici, which takes several times as long as all
 * else that this package loads. A program that needs those modules loads them when it does.
 *
 * @see https://github.com/nodejs/node/blob/v26.x/lib/http.js (`lazyUndici`)
 */
import process from "node:process";

export const nodeHttp: typeof import("node:http") = process.getBuiltinModule("node:http");
export const nodeUtil: typeof import("node:util") = process.getBuiltinModule("node:util");

/** The module is loaded at the first call: with it comes TLS, whose certificates Node reads in the background. */
export const nodeHttps = (): typeof import("node:https") => process.getBuiltinModule("node:https");

/** The module is loaded at the first call, which is in the last seconds of a process. */
export const diagnosticsChannel = (): typeof import("node:diagnostics_channel") =>
  process.getBuiltinModule("node:diagnostics_channel");
