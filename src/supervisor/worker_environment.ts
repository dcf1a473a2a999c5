import process from "node:process";
import { HANDOVER, type InheritedSocket } from "../listener/handover.ts";
import { SERVICE_VARIABLES } from "../systemd/activation.ts";

/** The name that systemd gives to a socket without a name. */
const UNNAMED = "unknown";

/**
 * Returns the environment that a generation starts with: that of this process as it is now, with `changes`, and without
 * what a service manager or a predecessor tells this process alone.
 */
export function environmentOf(
  changes: Readonly<Record<string, string | undefined>>,
): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env, ...changes };
  for (const name of [...SERVICE_VARIABLES, HANDOVER]) delete environment[name];
  return environment;
}

/**
 * Returns the variables of `sd_listen_fds(3)`, without `LISTEN_PID`: the listeners are the first descriptors after
 * stdin, stdout and stderr. Returns none if there is no listener.
 */
export function activationOf(listeners: readonly InheritedSocket[]): Record<string, string> {
  if (listeners.length === 0) return {};
  const fds = { LISTEN_FDS: String(listeners.length) };
  if (listeners.every(({ name }) => name === undefined)) return fds;
  const names = listeners.map(({ name }) => name ?? UNNAMED);
  return { ...fds, LISTEN_FDNAMES: names.join(":") };
}
