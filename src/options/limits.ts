import { attempt } from "../core/attempt.ts";
import { checkInteger, checkMilliseconds } from "./checks.ts";
import type { OptionNames } from "./names.ts";

/** The limits of what a client may ask of a server, which mean the same on every engine. */
export interface Limits {
  /**
   * The largest body of a request, in bytes, 0 to 2^53 - 1. A handler that reads a larger body gets a
   * {@linkcode BodyTooLargeError} in its place, which is known before anything is read if the request has a
   * `Content-Length`. If the handler lets the error pass, the client gets 413 (RFC 9110, 15.5.14). Without the option
   * there is no limit. The functions of `bun.routes` have Bun's own limit, `bun.maxRequestBodySize`.
   */
  maxBodySize?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, for which a connection may be idle between two requests. After that
   * time the connection is closed, and at most a quarter later. 0 means no limit. The default is longer than the 60 s
   * for which most load balancers reuse a connection, so that their next request does not cross the close. A value up to
   * 255 is warned of, as it may be meant in seconds.
   *
   * @default {65_000}
   */
  idleTimeout?: number;
  /**
   * The number of milliseconds, 0 to 2 147 483 647, in which the head of a request must arrive: the first one counted
   * from the start of the connection, a further one from its first byte. After that time the connection is closed, and
   * at most a quarter later. This ends clients that send their heads slowly on purpose (Slowloris). 0 means no limit.
   * The default is that of `headersTimeout` in Node. A value up to 255 is warned of, as it may be meant in seconds.
   *
   * With the engine `"deno"`, which does not show the start of a head, a further head has the time of `idleTimeout`. So
   * has a head that follows a request with a body on the engine `"node"`.
   *
   * @default {60_000}
   */
  headerTimeout?: number;
}

/** Checked {@linkcode Limits} with their defaults. No limit is Infinity. */
export interface LimitSettings extends Readonly<Required<Limits>> {
  /** The name of a time limit that was asked for. The defaults are left out where they cannot be kept. */
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

/** The largest number that is taken for seconds: `idleTimeout` of Bun has seconds, of which it takes 255 at most. */
const MOST_SECONDS = 255;

/** The options that were warned of. */
const warned = new Set<string>();

/** Writes a warning to the console, once for each option, if a time may be meant in seconds. */
function warnOfSeconds(name: string, value: number | undefined): void {
  if (value === undefined || value === 0 || value > MOST_SECONDS || warned.has(name)) return;
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
