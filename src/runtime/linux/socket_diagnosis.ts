/**
 * The handshakes with a listener that have not ended, as `sock_diag(7)` tells them. The table `/proc/net/tcp`
 * has them too, among all connections of the machine: with a hundred thousand, reading it takes a third of a
 * second.
 */
import type { Addr } from "../../core/addr.ts";
import type { LibC } from "./libc.ts";
import { addrIn, AF_INET, AF_INET6, isAt } from "./sockaddr.ts";
import { IPPROTO_TCP } from "./socket_options.ts";

const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST_DUMP = 0x301;
const NLMSG_DONE = 3;
/** The size of a `struct nlmsghdr`. */
const HEADER = 16;
/** The size of a request: a header, and a `struct inet_diag_req_v2`. */
const REQUEST = HEADER + 56;
/** The set of states that contains `TCP_SYN_RECV` alone. */
const SYN_RECV = 1 << 3;
/** The offsets of fields in a `struct inet_diag_msg`. */
const FAMILY = 0;
const REPEATS = 3;
const LOCAL_PORT = 4;
const CLIENT_PORT = 6;
const LOCAL_ADDRESS = 8;
const CLIENT_ADDRESS = 24;
const EXPIRES = 52;
/** The number of ms after which the kernel first repeats its part of a handshake. */
const FIRST_REPEAT = 1_000;
const CHUNK = 32 * 1024;

/** A handshake that the client has begun, and that has not ended. */
export interface Handshake {
  readonly client: Addr;
  /** Whether the kernel has repeated its part of the handshake. */
  readonly isRepeated: boolean;
  /** The time in ms since the handshake began, if it is not repeated. */
  readonly age: number;
}

/**
 * Returns the handshakes with the listeners at a TCP address. Returns undefined if the kernel does not tell.
 */
export function handshakesAt(
  libc: LibC,
  listener: Addr & { transport: "tcp" },
): Handshake[] | undefined {
  const { hostname, port } = listener;
  const fd = libc.socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return undefined;
  try {
    const request = requestFor(hostname.includes(":") ? AF_INET6 : AF_INET, port);
    if (libc.send(fd, request, request.length, 0) !== request.length) return undefined;
    return handshakesIn(libc, fd, listener);
  } finally {
    libc.close(fd);
  }
}

function requestFor(family: number, port: number): Uint8Array {
  const request = new DataView(new ArrayBuffer(REQUEST));
  request.setUint32(0, REQUEST, true);
  request.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  request.setUint16(6, NLM_F_REQUEST_DUMP, true);
  request.setUint8(HEADER, family);
  request.setUint8(HEADER + 1, IPPROTO_TCP);
  request.setUint32(HEADER + 4, SYN_RECV, true);
  request.setUint16(HEADER + 8, port);
  return new Uint8Array(request.buffer);
}

/** Reads the answer, which may come in several parts. Returns undefined if the kernel reports an error. */
function handshakesIn(libc: LibC, fd: number, listener: Addr): Handshake[] | undefined {
  const handshakes: Handshake[] = [];
  const buffer = new Uint8Array(CHUNK);
  const view = new DataView(buffer.buffer);
  for (let size; (size = libc.read(fd, buffer, CHUNK)) > 0;) {
    for (let at = 0; at + HEADER <= size;) {
      const type = view.getUint16(at + 4, true);
      if (type === NLMSG_DONE) return handshakes;
      if (type !== SOCK_DIAG_BY_FAMILY) return undefined;
      const message = buffer.subarray(at + HEADER);
      if (isAt(addrAt(message, LOCAL_PORT, LOCAL_ADDRESS), listener)) {
        handshakes.push({
          client: addrAt(message, CLIENT_PORT, CLIENT_ADDRESS),
          isRepeated: message[REPEATS] !== 0,
          age: Math.max(0, FIRST_REPEAT - view.getUint32(at + HEADER + EXPIRES, true)),
        });
      }
      // Messages begin at multiples of four bytes.
      at += (view.getUint32(at, true) + 3) & ~3;
    }
  }
  return undefined;
}

/** Returns an address in a message, by way of the `struct sockaddr` that has the same port and address. */
function addrAt(message: Uint8Array, port: number, address: number): Addr {
  const name = new Uint8Array(28);
  const family = message[FAMILY]!;
  name[0] = family;
  name.set(message.subarray(port, port + 2), 2);
  if (family === AF_INET6) name.set(message.subarray(address, address + 16), 8);
  else name.set(message.subarray(address, address + 4), 4);
  return addrIn(name)!;
}
