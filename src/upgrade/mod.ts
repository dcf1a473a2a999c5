/**
 * Restarts that lose no connection: a new process takes the listeners over from the old one.
 *
 * Most services need none of this by name: `serve(handler, { handoff: "auto" })` and
 * `graceful(server, { upgradeOn: "SIGHUP" })` do it.
 *
 * @module
 */
export { listen } from "../listener/listen.ts";
export type { Listener, ListenOptions } from "../options/listen.ts";
export { Upgrader, type UpgraderOptions } from "./upgrader.ts";
export { UpgradeError } from "../core/errors.ts";
export type { Addr } from "../core/addr.ts";
