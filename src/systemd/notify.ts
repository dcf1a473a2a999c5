import { printable, printableJson } from "../core/printable.ts";
import { serviceManager } from "./service_manager.ts";

/**
 * Sends a message about this process to the service manager: a line `KEY=value` for each entry, in the order of the
 * entries. The manual of `sd_notify(3)` says what the keys mean.
 *
 * Resolves with true once the message is in the queue of the manager, which may take up to 5 s if the queue is full.
 * Resolves with false if there is no manager: `NOTIFY_SOCKET` is not set, or Deno may not read it. The variable
 * stays set for the programs that this process starts.
 *
 * Where the runtime can call the C library, this process sends the message itself: on Bun, on Deno with
 * `--allow-ffi`, and on Node 26.1 and later. The unit then
 * needs no more than `NotifyAccess=main`, which every `Type=notify` has. Elsewhere the program `systemd-notify` sends
 * the message, and the call waits until the manager has read it. As root the program sends in the name of this
 * process; for any other user the unit needs `NotifyAccess=all`.
 *
 * Deno asks for `--allow-env=NOTIFY_SOCKET` and `--allow-ffi`, or else for `--allow-env` and
 * `--allow-run=systemd-notify`.
 *
 * @throws {TypeError} If there is no entry, a key has other characters than capitals, digits and underscores, or a
 * value is not a finite number or a string without a newline or NUL.
 * @throws {Error} If there is a manager and the message could not be sent to it.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 * import { notify } from "@x/graceful/systemd";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * const isService = await notify({ READY: 1 });
 * console.log(isService ? "systemd knows" : "not started by systemd");
 * await server.shutdown();
 * ```
 */
export async function notify(state: Readonly<Record<string, string | number>>): Promise<boolean> {
  return await send(linesOf(state), true);
}

/** Sends a message like {@linkcode notify}, but does not keep this process alive until the message is sent. */
export async function notifyUnlessEnding(
  state: Readonly<Record<string, number>>,
): Promise<boolean> {
  return await send(linesOf(state), false);
}

async function send(lines: readonly string[], keepsAlive: boolean): Promise<boolean> {
  const manager = serviceManager();
  await manager?.send(lines, keepsAlive);
  return manager !== undefined;
}

/**
 * Sends `RELOADING=1` to the service manager, as {@linkcode notify} does: this process has begun to reload. The message
 * includes the time in `MONOTONIC_USEC`, which a unit of `Type=notify-reload` (systemd 253 and later) requires in
 * answer to its SIGHUP. Send `READY=1` with {@linkcode notify} when the reload is done. Resolves with false if there
 * is no manager.
 *
 * The time is CLOCK_MONOTONIC. On Deno without `--allow-ffi` the time is the uptime of the system in whole seconds
 * (`--allow-sys=osUptime`), rounded up, so that systemd never takes the message for the answer to an earlier reload.
 *
 * @throws {Error} If there is a manager and the message could not be sent to it.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 * import { notify, notifyReloading } from "@x/graceful/systemd";
 *
 * let greeting = "hello";
 * const server = await serve(() => new Response(greeting), { port: 0 });
 * process.on("SIGHUP", async () => {
 *   await notifyReloading();
 *   greeting = "hello again";
 *   await notify({ READY: 1 });
 * });
 * await server.shutdown();
 * ```
 */
export async function notifyReloading(): Promise<boolean> {
  const manager = serviceManager();
  await manager?.send(["RELOADING=1", `MONOTONIC_USEC=${manager.now()}`], true);
  return manager !== undefined;
}

function linesOf(state: Readonly<Record<string, string | number>>): string[] {
  const entries = Object.entries(state);
  if (entries.length === 0) refuse("state", "an object with an entry", "{}");
  return entries.map(([key, value]) => {
    if (!/^[A-Z][A-Z0-9_]*$/.test(key)) {
      refuse("key", "of capitals, digits and underscores, the first a capital", quoted(key));
    }
    if (!isSendable(value)) {
      refuse(key, "a finite number or a string without a newline or NUL", quoted(value));
    }
    return `${key}=${value}`;
  });
}

function isSendable(value: unknown): boolean {
  return typeof value === "string" ? !/[\n\0]/.test(value) : Number.isFinite(value);
}

/** Returns a value on one line, whatever is in it. */
function quoted(value: unknown): string {
  return typeof value === "string" ? printableJson(value) : printable(String(value));
}

function refuse(what: string, rule: string, value: string): never {
  throw new TypeError(
    `Cannot notify as '${printable(what)}' must be ${rule}: current value is ${value}`,
  );
}
