import { dirname } from "node:path";
import type { Addr } from "../../core/addr.ts";
import { isMissing } from "./missing_folder.ts";
import { printable } from "../../core/printable.ts";

/**
 * Returns the error of a failed `listen`. The error is the same on every runtime: its message names the
 * address and the reason, `code` is the error code of the system (`EADDRINUSE` …) where the runtime reports
 * one, and `cause` is the error of the runtime, unless that is about another matter.
 */
export function listenError(listen: Addr, cause: unknown): Error {
  const where = listen.transport === "unix"
    ? `the path "${printable(listen.path)}"`
    : `port ${listen.port} of "${printable(listen.hostname)}"`;
  const code = codeOf(listen, cause);
  const reason = code === undefined ? printable(String(cause)) : reasonOf(listen, code, cause);
  const error = new Error(
    `Cannot listen on ${where}: ${reason}`,
    reportedCode(cause) === WRONG_CODE ? undefined : { cause },
  );
  return code === undefined ? error : Object.assign(error, { code });
}

function reasonOf(listen: Addr, code: string, cause: unknown): string {
  if (code === "EADDRINUSE" && listen.transport === "unix") return OCCUPIED;
  return REASONS[code] ?? `${code}: ${printable(String(cause))}`;
}

/** The reason for the code EADDRINUSE of a unix socket: a process that was killed leaves its file behind. */
const OCCUPIED =
  "the address is already in use: a file is at that path; if no process listens on it, remove it";

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

/**
 * Returns the code of the system for the error. Where a runtime reports a wrong code or none, the code is
 * found out.
 */
function codeOf(listen: Addr, error: unknown): string | undefined {
  const code = reportedCode(error);
  if (listen.transport === "tcp") {
    return isUnresolved(listen.hostname, code, error) ? "ENOTFOUND" : code;
  }
  // Node reports a missing folder as a missing permission.
  return code === "EACCES" && isMissing(dirname(listen.path)) ? "ENOENT" : code;
}

/** Matches what is not a hostname: an IPv6 address has a colon, and an IPv4 address nothing but digits and dots. */
const IP_ADDRESS = /:|^[\d.]+$/;

/** The code with which `Bun.serve` reports that a hostname does not resolve. */
const WRONG_CODE = "ENOTSOCK";

/**
 * Reports whether the error says that the hostname does not resolve. Deno and `Bun.listen` give that error no code, and
 * `Bun.serve` a wrong one.
 */
function isUnresolved(hostname: string, code: string | undefined, error: unknown): boolean {
  if (IP_ADDRESS.test(hostname) || !(error instanceof Error)) return false;
  if (code !== undefined) return code === WRONG_CODE;
  return /^failed to (lookup address information|listen at )/i.test(error.message);
}

function reportedCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  return CODES[error.name];
}
