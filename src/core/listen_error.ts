import type { Addr } from "./addr.ts";
import { printable } from "./printable.ts";

/**
 * Returns the error of a failed `listen`. The error is the same on every runtime: its message names the
 * address and the rule, `code` is the error code of the system (`EADDRINUSE` …) where the runtime reports
 * one, and `cause` is the error of the runtime.
 */
export function listenError(listen: Addr, cause: unknown): Error {
  const where = listen.transport === "unix"
    ? `the path "${printable(listen.path)}"`
    : `port ${listen.port} of "${printable(listen.hostname)}"`;
  const code = codeOf(cause);
  const rule = code === undefined
    ? printable(String(cause))
    : RULES[code] ?? `${code}: ${printable(String(cause))}`;
  const error = new Error(`Cannot listen on ${where}: ${rule}`, { cause });
  return code === undefined ? error : Object.assign(error, { code });
}

const RULES: Record<string, string> = {
  EADDRINUSE: "it must not be in use",
  EADDRNOTAVAIL: "it must be an address of this machine",
  EACCES: "the process must have the right to",
  ENOENT: "its folder must exist",
  ENOTFOUND: "the name must resolve",
};

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
