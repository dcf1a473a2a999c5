/**
 * Socket activation: the listening sockets that systemd, or another supervisor, has opened for this
 * process, as `sd_listen_fds(3)` describes. Anybody can set a variable: what is read here has the right
 * shape, and no descriptor has been touched.
 */
import process from "node:process";
import { ignoreVariable, readVariable } from "../runtime/host/variables.ts";

/** A descriptor that systemd, or another supervisor, has passed. */
export interface ActivatedSocket {
  readonly fd: number;
  readonly name: string | undefined;
}

const ACTIVATION = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] as const;
/** The first descriptor that is passed: the one after standard input, output and error. */
const LISTEN_FDS_START = 3;
/** No supervisor passes more: Linux takes no variable that would name them all. */
const MAX_LISTENERS = 1_024;

/** Reads systemd's variables, if they are meant for this process. */
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

/**
 * Removes systemd's variables once they are read: they are not meant for programs that this process
 * starts.
 */
export function removeActivation(): void {
  for (const name of ACTIVATION) delete process.env[name];
}
