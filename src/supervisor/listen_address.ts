import { resolve } from "node:path";
import type { Addr } from "../core/addr.ts";
import { refuse } from "../options/checks.ts";
import { checkAddress, checkSparePath } from "../options/listen.ts";

/** Matches `port`, `host:port` and `[IPv6 address]:port`. */
const HOST_AND_PORT = /^(?:(?:\[([^\][]+)\]|([^:\][]+)):)?(\d+)$/;

/**
 * Returns the address that a text names: `[host:]port`, with `0.0.0.0` as the default host, or the path of a unix
 * socket, which has a slash. A relative path becomes absolute.
 *
 * @throws {TypeError} If the text names no address.
 * @throws {RangeError} If the port is out of range, or the path is too long.
 */
export function parseAddress(what: string, text: unknown): Addr {
  const rule = '"[host:]port", or the path of a unix socket, which has a slash';
  if (typeof text !== "string" || text === "") refuse(what, rule, text);
  if (text.includes("/")) return unixAddress(what, resolve(text));
  const match = HOST_AND_PORT.exec(text);
  if (match === null) refuse(what, rule, text);
  const [, ipv6, host, digits] = match;
  const port = Number(digits);
  checkAddress(() => what, { port });
  return { transport: "tcp", hostname: ipv6 ?? host ?? "0.0.0.0", port };
}

function unixAddress(what: string, path: string): Addr {
  checkAddress(() => what, { path });
  checkSparePath(what, path);
  return { transport: "unix", path };
}
