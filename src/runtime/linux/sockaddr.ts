/** The `struct sockaddr` of Linux: how the kernel writes an address. */
import { isIP } from "node:net";
import { type Addr, isUnspecified, sameAddr } from "../../core/addr.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./headers.ts";

/** The size in bytes of the largest address, that of a unix socket. */
export const NAME_SIZE = 110;
/** The size in bytes of the path in the address of a unix socket. */
export const PATH_SIZE = 108;

/** Returns the address that a `struct sockaddr` holds, or undefined for a family that no server has. */
export function addrIn(name: Uint8Array): Addr | undefined {
  const family = familyIn(name);
  if (family === AF_UNIX) return { transport: "unix", path: pathIn(name) };
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  return { transport: "tcp", hostname: hostIn(name), port: portIn(name) };
}

/** Returns the port in a `struct sockaddr_in` or `sockaddr_in6`; 0 for another family. */
export function portIn(name: Uint8Array): number {
  const family = familyIn(name);
  if (family !== AF_INET && family !== AF_INET6) return 0;
  return new DataView(name.buffer).getUint16(2);
}

/**
 * Returns a `struct sockaddr_un` with the bytes of a path. Without a path, `bind` chooses an address
 * that has no file.
 */
export function unixName(path: Uint8Array): Uint8Array {
  const family = new Uint8Array(Uint16Array.of(AF_UNIX).buffer);
  return Uint8Array.of(...family, ...path);
}

/**
 * Returns whether a socket with a local address is a listener at another address, or was accepted by that
 * listener. Another listener may have the same port of another host.
 */
export function isAt(local: Addr, listener: Addr): boolean {
  if (local.transport === "unix" || listener.transport === "unix") {
    return sameAddr(local, listener);
  }
  const { hostname, port } = listener;
  const isAny = isUnspecified(hostname) || isIP(hostname) === 0;
  return local.port === port && (isAny || local.hostname === hostname);
}

function familyIn(name: Uint8Array): number {
  return new DataView(name.buffer).getUint16(0, true);
}

function pathIn(name: Uint8Array): string {
  return new TextDecoder().decode(name.subarray(2, name.indexOf(0, 2)));
}

function hostIn(name: Uint8Array): string {
  const view = new DataView(name.buffer);
  if (familyIn(name) === AF_INET) return name.subarray(4, 8).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16));
  // The URL parser writes an IPv6 address in its short form.
  const short = new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
  return short.replace(/^::ffff:([0-9a-f]+):([0-9a-f]+)$/, () => name.subarray(20, 24).join("."));
}
