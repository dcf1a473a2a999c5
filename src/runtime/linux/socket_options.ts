/** The options of sockets on Linux, as `getsockopt` and `setsockopt` take them. */
import { SO_COOKIE, SO_TYPE, SOL_SOCKET } from "./headers.ts";
import type { LibC } from "./libc.ts";

/** Returns the bytes of an `unsigned int`. C functions take and return sizes in such memory. */
export function uint32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

// These buffers are shared by all calls, which never overlap, because a search through the descriptors
// of a busy server makes tens of thousands of calls.
const valueBytes = new Uint8Array(8);
const value = new DataView(valueBytes.buffer);
const sizeBytes = new Uint8Array(4);
const sizeView = new DataView(sizeBytes.buffer);

/** Returns an option that is an integer, or undefined if the descriptor has no such option. */
export function intOption(
  libc: LibC,
  fd: number,
  level: number,
  option: number,
): number | undefined {
  sizeView.setUint32(0, 4, true);
  if (libc.getsockopt(fd, level, option, valueBytes, sizeBytes) !== 0) return undefined;
  return value.getInt32(0, true);
}

/** Returns whether a descriptor is a socket. */
export function isSocket(libc: LibC, fd: number): boolean {
  return intOption(libc, fd, SOL_SOCKET, SO_TYPE) !== undefined;
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
  sizeView.setUint32(0, 8, true);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, valueBytes, sizeBytes) !== 0) return 0n;
  return value.getBigUint64(0, true);
}
