import process from "node:process";
import { HANDOVER, type InheritedSocket } from "../listener/handover.ts";
import { SERVICE_VARIABLES } from "../systemd/activation.ts";

/** The name under which systemd passes a socket that has no name. */
const UNNAMED = "unknown";

/**
 * Returns the environment of a generation: the current environment of this process with `changes`, without the
 * variables that a service manager or a predecessor has set only for this process.
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
 * stdin, stdout and stderr. Returns no variable if there is no listener.
 */
export function activationOf(listeners: readonly InheritedSocket[]): Record<string, string> {
  if (listeners.length === 0) return {};
  const fds = { LISTEN_FDS: String(listeners.length) };
  if (listeners.every(({ name }) => name === undefined)) return fds;
  const names = listeners.map(({ name }) => name ?? UNNAMED);
  return { ...fds, LISTEN_FDNAMES: names.join(":") };
}
