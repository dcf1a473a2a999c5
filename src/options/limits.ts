import { attempt } from "../core/attempt.ts";
import { ofProcess } from "../core/process_state.ts";
import { checkInteger, checkMilliseconds } from "./checks.ts";
import type { OptionNames } from "./names.ts";

/** The limits of what a client may ask of a server, which mean the same on every engine. */
export interface Limits {
  /**
   * The largest body of a request, in bytes, 0 to 2^53 - 1. A handler that reads a larger body gets a
   * {@linkcode BodyTooLargeError}, at once if the `Content-Length` is too large, and otherwise at the limit. If the
   * handler does not catch the error, the client gets 413 (RFC 9110, 15.5.14). Without the option there is no limit.
   * The functions of `bun.routes` have Bun's own limit, `bun.maxRequestBodySize`.
   */
  maxBodySize?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, for which a connection may be idle between two requests. After that
   * time the connection is closed, with a delay of at most a quarter of that time. 0 means no limit. The default is
   * longer than the 60 s for which most load balancers reuse a connection, so that their next request does not find the
   * connection closed. A value up to 255 causes a warning, because it may be meant in seconds.
   *
   * @default {65_000}
   */
  idleTimeout?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, in which the head of a request must arrive. The time of the first
   * head counts from the start of the connection, that of a later head from its first byte. After that time the
   * connection is closed, with a delay of at most a quarter of that time. This ends clients that send their heads
   * slowly on purpose (Slowloris). 0 means no limit. The default is that of `headersTimeout` in Node. A value up to
   * 255 causes a warning, because it may be meant in seconds.
   *
   * The engine `"deno"` does not show the start of a later head, so such a head has the time of `idleTimeout`. The same
   * holds on the engine `"node"` for a head that follows a request with a body.
   *
   * @default {60_000}
   */
  headerTimeout?: number;
}

/** Checked {@linkcode Limits} with their defaults. Infinity means no limit. */
export interface LimitSettings extends Readonly<Required<Limits>> {
  /**
   * The name of a time limit that the caller has set. An engine that cannot keep time limits ignores the
   * defaults and refuses a limit that was set.
   */
  readonly asked: "idleTimeout" | "headerTimeout" | undefined;
}

/** The names of {@linkcode Limits}. */
export const LIMIT_NAMES: OptionNames<Limits> = {
  maxBodySize: true,
  idleTimeout: true,
  headerTimeout: true,
};

/** Throws for limits that have the wrong type or are out of range. */
export function checkLimits(as: (name: string) => string, options: Limits): void {
  checkInteger(as("maxBodySize"), options.maxBodySize, 0, Number.MAX_SAFE_INTEGER);
  checkMilliseconds(as("idleTimeout"), options.idleTimeout, 0);
  checkMilliseconds(as("headerTimeout"), options.headerTimeout, 0);
  for (const name of ["idleTimeout", "headerTimeout"] as const) warnOfSeconds(name, options[name]);
}

/** The largest number that may be meant in seconds: the `idleTimeout` of Bun is in seconds, at most 255. */
const MOST_SECONDS = 255;

/** The names of the options of which this process was warned. */
const newWarned = () => new Set<string>();

/** Writes a warning to the console, once for each option, if a time may be meant in seconds. */
function warnOfSeconds(name: string, value: number | undefined): void {
  if (value === undefined || value === 0 || value > MOST_SECONDS) return;
  const warned = ofProcess(newWarned);
  if (warned.has(name)) return;
  warned.add(name);
  attempt(() =>
    console.warn(
      `'${name}' is in milliseconds, and ${value} ms is short: for ${value} s give ${
        value * 1_000
      }`,
    )
  );
}

/** Returns checked limits with their defaults. */
export function limitSettings(
  { maxBodySize = Infinity, idleTimeout, headerTimeout }: Limits,
): LimitSettings {
  return {
    asked: idleTimeout ? "idleTimeout" : headerTimeout ? "headerTimeout" : undefined,
    maxBodySize,
    idleTimeout: idleTimeout === 0 ? Infinity : idleTimeout ?? 65_000,
    headerTimeout: headerTimeout === 0 ? Infinity : headerTimeout ?? 60_000,
  };
}
