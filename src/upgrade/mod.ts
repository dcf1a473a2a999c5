/**
 * Restarts that lose no connection: a new process takes over the listeners of the old process.
 *
 * Most services do not need to import this module: `serve(handler, { handoff: "auto" })` and
 * `graceful(server, { upgradeOn: "SIGHUP" })` use it.
 *
 * @module
 */
export { listen } from "../listener/listen.ts";
export type { Listener, ListenOptions } from "../options/listen.ts";
export { Upgrader } from "./upgrader.ts";
export type { UpgraderOptions } from "./options.ts";
export { UpgradeError } from "../core/errors.ts";
export type { Addr } from "../core/addr.ts";
