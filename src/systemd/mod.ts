/**
 * Notifications of a service to systemd, or to another service manager that has set `NOTIFY_SOCKET`, in the
 * protocol of `sd_notify(3)`.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 * import { notify } from "@x/graceful/systemd";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * await notify({ READY: 1, STATUS: `Listening at ${server.url}` });
 * await server.shutdown();
 * ```
 *
 * @module
 */
export { notify, notifyReloading } from "./notify.ts";
export { watchdog } from "./watchdog.ts";
