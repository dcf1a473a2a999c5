/**
 * Socket activation: the listening sockets that systemd, or another supervisor, has opened for this process, as
 * `sd_listen_fds(3)` describes. Anybody can set a variable: the functions here check only its form, and do not
 * touch the descriptors.
 */
import process from "node:process";
import { ignoreVariable, readVariable } from "../runtime/host/variables.ts";

/** A descriptor that systemd, or another supervisor, has passed to this process. */
export interface ActivatedSocket {
  readonly fd: number;
  readonly name: string | undefined;
}

const ACTIVATION = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"] as const;
/** The first descriptor that a supervisor passes: the one after standard input, output and error. */
const LISTEN_FDS_START = 3;
/**
 * The highest number of sockets that a supervisor passes. Linux accepts no variable that is long enough to
 * name more.
 */
const MAX_LISTENERS = 1_024;

/** Returns the sockets that systemd's variables name, if the variables are meant for this process. */
export function readActivation(): ActivatedSocket[] {
  const [fds, pid, names] = ACTIVATION.map(readVariable);
  if (fds === undefined || fds === "0" || pid !== String(process.pid)) return [];
  const count = /^[1-9]\d*$/.test(fds) ? Number(fds) : NaN;
  if (!(count <= MAX_LISTENERS)) {
    ignoreVariable("LISTEN_FDS", `must be a number from 0 to ${MAX_LISTENERS}`, fds);
    return [];
  }
  const named = names?.split(":") ?? [];
  const areNames = names === undefined || named.length === count;
  if (!areNames) {
    ignoreVariable("LISTEN_FDNAMES", `must have ${count} names, as LISTEN_FDS says`, names);
  }
  return Array.from({ length: count }, (_, index) => ({
    fd: LISTEN_FDS_START + index,
    name: areNames ? named[index] : undefined,
  }));
}

/** The variables of a service manager that do not describe sockets, which concern its main process alone. */
const NOTIFICATION = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

/** The variables by which a service manager speaks to the main process of a service. */
export const SERVICE_VARIABLES: readonly string[] = [...ACTIVATION, ...NOTIFICATION];

/**
 * Removes the variables of a service manager from the environment of a worker, which reports only to its
 * supervisor.
 */
export function removeServiceVariables(): void {
  for (const name of SERVICE_VARIABLES) {
    if (readVariable(name) !== undefined) delete process.env[name];
  }
}

/**
 * Removes systemd's variables after they were read, because they are not meant for programs that this
 * process starts.
 */
export function removeActivation(): void {
  for (const name of ACTIVATION) delete process.env[name];
}
