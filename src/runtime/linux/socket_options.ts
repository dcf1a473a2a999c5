/** The options of sockets on Linux, as `getsockopt` and `setsockopt` take them. */
import type { LibC } from "./libc.ts";

export const SOL_SOCKET = 1;
export const IPPROTO_TCP = 6;
const SO_COOKIE = 57;

/** Returns an unsigned integer of C at an address: what a size is given and told by. */
export function uint32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Returns an option that is an integer, or undefined if the descriptor has no such option. */
export function intOption(
  libc: LibC,
  fd: number,
  level: number,
  option: number,
): number | undefined {
  const value = new Uint8Array(4);
  if (libc.getsockopt(fd, level, option, value, uint32(4)) !== 0) return undefined;
  return new DataView(value.buffer).getInt32(0, true);
}

/** Sets an option that is an integer. Returns false if the kernel refuses. */
export function setIntOption(
  libc: LibC,
  fd: number,
  level: number,
  option: number,
  value: number,
): boolean {
  return libc.setsockopt(fd, level, option, uint32(value), 4) === 0;
}

/** Returns the cookie of a socket, which no other socket has while the machine runs; 0 for any other descriptor. */
export function cookieOf(libc: LibC, fd: number): bigint {
  const value = new Uint8Array(8);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, value, uint32(8)) !== 0) return 0n;
  return new DataView(value.buffer).getBigUint64(0, true);
}
