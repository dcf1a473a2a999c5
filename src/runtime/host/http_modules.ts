/**
 * The modules `node:http` and `node:https`, loaded at first use instead of by an ES import (see
 * `src/core/builtins.ts`): on Node an ES import of `node:http` loads undici.
 *
 * @see https://github.com/nodejs/node/blob/v26.x/lib/http.js (`lazyUndici`)
 */
import process from "node:process";

/** The module is loaded at the first call. */
export const nodeHttp = (): typeof import("node:http") => process.getBuiltinModule("node:http");

/**
 * Returns `node:https`. The first call loads the module, and with it TLS, whose root certificates Node reads
 * in the background.
 */
export const nodeHttps = (): typeof import("node:https") => process.getBuiltinModule("node:https");
