/**
 * What a process is told of the listening sockets that it has inherited: by its predecessor in a
 * variable of our own, by systemd in `LISTEN_FDS` and its kind (`sd_listen_fds(3)`).
 */
import process from "node:process";
import type { Addr } from "../conn.ts";
import { readVariable } from "../runtime/environment.ts";

/** How a listener gets to the next process: its descriptor does, or SO_REUSEPORT lets both listen. */
export type Handoff = "inherit" | "reuseport";

/** A listening socket on its way from one process to the next. */
export interface Heirloom {
  readonly fd: number;
  /** Where it is bound. */
  readonly addr: Addr;
  /** What was asked for when it was opened: the port may be 0, and the host a name. */
  readonly asked: Addr;
  readonly handoff: Handoff;
  /** What systemd calls it: `FileDescriptorName=`. */
  readonly name?: string | undefined;
  /** Whether the file of a unix socket goes when its last owner closes it. */
  readonly unlink: boolean;
}

/** What a process that is to replace another is told. */
export interface Will {
  /** The process before it. */
  readonly pid: number;
  /** The descriptor on which it says that it is ready. */
  readonly ready: number;
  readonly listeners: readonly Heirloom[];
}

/** A descriptor that systemd, or another supervisor, has passed. */
export interface ActivatedSocket {
  readonly fd: number;
  readonly name: string | undefined;
}

const WILL = "GRACEFUL_UPGRADE";
/** The first descriptor that systemd passes. */
const LISTEN_FDS_START = 3;

/** The variable that tells the next process. */
export function writeWill(will: Will): Record<string, string> {
  return { [WILL]: JSON.stringify(will) };
}

/** Reads the variable, and removes it: it is not meant for what this process starts. */
export function takeWill(): Will | undefined {
  const text = readVariable(WILL);
  if (text === undefined) return undefined;
  delete process.env[WILL];
  // The cast: nobody but writeWill sets it.
  return JSON.parse(text) as Will;
}

/** Reads systemd's variables, and removes them if they are meant for this process. */
export function takeActivation(): ActivatedSocket[] {
  const count = Number(readVariable("LISTEN_FDS") ?? 0);
  if (!(Number.isSafeInteger(count) && count > 0)) return [];
  if (readVariable("LISTEN_PID") !== String(process.pid)) return [];
  const names = readVariable("LISTEN_FDNAMES")?.split(":") ?? [];
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]) delete process.env[name];
  return Array.from({ length: count }, (_, index) => ({
    fd: LISTEN_FDS_START + index,
    name: names[index],
  }));
}
