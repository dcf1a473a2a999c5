/**
 * The environment variable in which a predecessor or a supervisor describes the listening sockets that its successor or
 * its worker inherits. Anybody can set a variable: the functions here check only its form, and do not touch the
 * descriptors.
 */
import process from "node:process";
import type { Addr } from "../core/addr.ts";
import { ignoreVariable, readVariable } from "../runtime/host/variables.ts";

/**
 * How a successor gets a listener: by inheriting its descriptor, or by listening on the same port with
 * SO_REUSEPORT.
 */
export type Handoff = "inherit" | "reuseport";

/** A listening socket that a process hands over to the next process. */
export interface InheritedSocket {
  readonly fd: number;
  /** The address that the socket is bound to. */
  readonly addr: Addr;
  /** The address that was asked for when the socket was opened: the port may be 0, and the host a name. */
  readonly asked: Addr;
  readonly handoff: Handoff;
  /** The name that systemd has for the socket: `FileDescriptorName=`. */
  readonly name?: string | undefined;
  /** Whether the file of a unix socket is removed when the last owner closes the socket. */
  readonly unlink: boolean;
  /**
   * Whether somebody outside the service keeps the socket open, as systemd does: connections may wait for the next
   * service. Undefined, which counts as true, if that is not known.
   */
  readonly kept?: boolean | undefined;
}

/** The message of a predecessor to its successor, or of a supervisor to its worker. */
export interface Handover {
  /** The process id of the predecessor or the supervisor. */
  readonly pid: number;
  /** The descriptor of the pipe on which the successor or the worker says that it is ready. */
  readonly ready: number;
  readonly listeners: readonly InheritedSocket[];
  /** The number of the worker, which is unique within its supervisor; undefined in the message of a predecessor. */
  readonly worker?: number | undefined;
}

/** The name of the environment variable that describes a handover. */
export const HANDOVER = "GRACEFUL_UPGRADE";
/** The first descriptor after stdin, stdout and stderr, which is also the first one that systemd passes. */
const FIRST_FD = 3;
const MAX_FD = 2_147_483_647;
/** The highest number of listeners. Linux accepts no variable that is long enough to describe more. */
const MAX_LISTENERS = 1_024;

/** Returns the environment variable that describes a handover. */
export function writeHandover(handover: Handover): Record<string, string> {
  return { [HANDOVER]: JSON.stringify(handover) };
}

/**
 * Returns the handover that the environment variable describes. Returns undefined if the variable is not set, or is not
 * what {@linkcode writeHandover} writes.
 */
export function readHandover(): Handover | undefined {
  const text = readVariable(HANDOVER);
  if (text === undefined) return undefined;
  const handover = handoverOf(parsed(text));
  if (handover !== undefined) return handover;
  ignoreVariable(HANDOVER, "is not what another process of this module sets", text);
  removeHandover();
  return undefined;
}

/** Removes the variable after it was read, because it is not meant for programs that this process starts. */
export function removeHandover(): void {
  delete process.env[HANDOVER];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the parts of a value that make up a handover; undefined if a part is missing or has the wrong type. */
function handoverOf(value: unknown): Handover | undefined {
  if (!isRecord(value)) return undefined;
  const { pid, ready, listeners, worker } = value;
  if (!isInteger(pid, 1, MAX_FD) || !isInteger(ready, FIRST_FD, MAX_FD)) return undefined;
  if (worker !== undefined && !isInteger(worker, 1, Number.MAX_SAFE_INTEGER)) return undefined;
  if (!Array.isArray(listeners) || listeners.length > MAX_LISTENERS) return undefined;
  const sockets = listeners.map(inheritedSocketOf).filter((socket) => socket !== undefined);
  const fds = new Set([ready, ...sockets.map(({ fd }) => fd)]);
  if (sockets.length < listeners.length || fds.size < listeners.length + 1) return undefined;
  return { pid, ready, listeners: sockets, worker };
}

function inheritedSocketOf(value: unknown): InheritedSocket | undefined {
  if (!isRecord(value)) return undefined;
  const { fd, handoff, name, unlink, kept } = value;
  const addr = addrOf(value["addr"]);
  const asked = addrOf(value["asked"]);
  if (!isInteger(fd, FIRST_FD, MAX_FD) || addr === undefined || asked === undefined) {
    return undefined;
  }
  if (handoff !== "inherit" && handoff !== "reuseport") return undefined;
  if (name !== undefined && typeof name !== "string") return undefined;
  if (typeof unlink !== "boolean") return undefined;
  if (kept !== undefined && typeof kept !== "boolean") return undefined;
  return { fd, addr, asked, handoff, name, unlink, kept };
}

function addrOf(value: unknown): Addr | undefined {
  if (!isRecord(value)) return undefined;
  const { transport, hostname, port, path } = value;
  if (transport === "unix") return typeof path === "string" ? { transport, path } : undefined;
  if (transport !== "tcp" || typeof hostname !== "string") return undefined;
  return isInteger(port, 0, 65_535) ? { transport, hostname, port } : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}
