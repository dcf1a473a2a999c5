import type { Addr } from "./addr.ts";
import { printable } from "./printable.ts";

/**
 * Returns the error of a failed `listen`. The error is the same on every runtime: its message names the
 * address and the reason, `code` is the error code of the system (`EADDRINUSE` …) where the runtime reports
 * one, and `cause` is the error of the runtime.
 */
export function listenError(listen: Addr, cause: unknown): Error {
  const where = listen.transport === "unix"
    ? `the path "${printable(listen.path)}"`
    : `port ${listen.port} of "${printable(listen.hostname)}"`;
  const code = codeOf(cause);
  const reason = code === undefined
    ? printable(String(cause))
    : REASONS[code] ?? `${code}: ${printable(String(cause))}`;
  const error = new Error(`Cannot listen on ${where}: ${reason}`, { cause });
  return code === undefined ? error : Object.assign(error, { code });
}

/** The reasons that messages give for the error codes of the system. */
const REASONS: Record<string, string> = {
  EADDRINUSE: "the address is already in use",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "this process lacks the permission",
  ENOENT: "the folder does not exist",
  ENOTFOUND: "the hostname does not resolve",
};

/** The error codes of the system, by the names of Deno's errors. */
const CODES: Record<string, string> = {
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  PermissionDenied: "EACCES",
  NotFound: "ENOENT",
};

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  return CODES[error.name];
}
