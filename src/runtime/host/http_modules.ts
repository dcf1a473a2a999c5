/**
 * The modules `node:http` and `node:https`, without what their ES import costs, see `src/core/builtins.ts`: on Node an
 * import of `node:http` loads undici.
 *
 * @see https://github.com/nodejs/node/blob/v26.x/lib/http.js (`lazyUndici`)
 */
import process from "node:process";

/** The module is loaded at the first call. */
export const nodeHttp = (): typeof import("node:http") => process.getBuiltinModule("node:http");

/** The module is loaded at the first call: with it comes TLS, whose certificates Node reads in the background. */
export const nodeHttps = (): typeof import("node:https") => process.getBuiltinModule("node:https");
