import { printable } from "./printable.ts";

/**
 * An address of a socket: a TCP address, or the path of a unix socket. The client of a unix socket has no name, so its
 * path is empty.
 */
export type Addr =
  | {
    /** TCP, over IPv4 or IPv6. */
    readonly transport: "tcp";
    /** The IP address. */
    readonly hostname: string;
    /** The port, 1 to 65535. */
    readonly port: number;
  }
  | {
    /** A unix domain socket. */
    readonly transport: "unix";
    /** The path of the socket's file. */
    readonly path: string;
  };

/** Reports whether two addresses are the same, character by character. */
export function sameAddr(a: Addr, b: Addr): boolean {
  return a.transport === b.transport && keyOf(a) === keyOf(b);
}

/** Returns a string that is unique among the addresses of one transport, as a key for maps and sets. */
export function keyOf(addr: Addr): string {
  return addr.transport === "tcp" ? `${addr.hostname} ${addr.port}` : addr.path;
}

/** Returns an address as text for a log: `host:port`, or the path of a unix socket. */
export function shownAddr(addr: Addr): string {
  if (addr.transport === "unix") return printable(addr.path);
  const host = addr.hostname.includes(":") ? `[${addr.hostname}]` : addr.hostname;
  return printable(`${host}:${addr.port}`);
}

/** Reports whether a host stands for every address of the machine: `0.0.0.0` or `::`. */
export function isUnspecified(hostname: string): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}

/**
 * Returns the IPv4 address within an IPv4-mapped IPv6 address, as Go prints it, and any other hostname unchanged. A
 * socket at `::` sees an IPv4 client under the mapped address, such as `::ffff:192.0.2.1`, which does not match the
 * address in an allow list.
 */
export function unmapped(hostname: string): string {
  return hostname.startsWith(MAPPED) ? hostname.replace(MAPPED_IPV4, "$1") : hostname;
}

const MAPPED = "::ffff:";
const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/** Reports whether a socket that is bound to one address also serves another: `::` accepts IPv4 as well. */
export function covers(bound: Addr, asked: Addr): boolean {
  if (sameAddr(bound, asked)) return true;
  return bound.transport === "tcp" && asked.transport === "tcp" && bound.port === asked.port &&
    bound.hostname === "::" && asked.hostname === "0.0.0.0";
}
