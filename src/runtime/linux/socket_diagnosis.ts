/**
 * The handshakes with a listener that have not ended, as `sock_diag(7)` tells them. The table `/proc/net/tcp`
 * has them too, among all connections of the machine: with a hundred thousand, reading it takes a third of a
 * second.
 */
import type { Addr } from "../../core/addr.ts";
import type { LibC } from "./libc.ts";
import { AF_INET, AF_INET6 } from "./sockaddr.ts";
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
/** The offsets in a `struct inet_diag_msg`: of the port and the address of the client. */
const CLIENT_PORT = 6;
const CLIENT_ADDRESS = 24;
const CHUNK = 32 * 1024;

/**
 * Returns the clients of the handshakes with the listeners at the port of a TCP address, each as a text that
 * tells the client from others. Returns undefined if the kernel does not tell.
 */
export function handshakesAt(
  libc: LibC,
  { hostname, port }: Addr & { transport: "tcp" },
): Set<string> | undefined {
  const fd = libc.socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return undefined;
  try {
    const request = requestFor(hostname.includes(":") ? AF_INET6 : AF_INET, port);
    if (libc.send(fd, request, request.length, 0) !== request.length) return undefined;
    return clientsIn(libc, fd);
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
function clientsIn(libc: LibC, fd: number): Set<string> | undefined {
  const clients = new Set<string>();
  const buffer = new Uint8Array(CHUNK);
  const view = new DataView(buffer.buffer);
  for (let size; (size = libc.read(fd, buffer, CHUNK)) > 0;) {
    for (let at = 0; at + HEADER <= size;) {
      const type = view.getUint16(at + 4, true);
      if (type === NLMSG_DONE) return clients;
      if (type !== SOCK_DIAG_BY_FAMILY) return undefined;
      clients.add(clientIn(buffer.subarray(at + HEADER)));
      // Messages begin at multiples of four bytes.
      at += (view.getUint32(at, true) + 3) & ~3;
    }
  }
  return undefined;
}

function clientIn(message: Uint8Array): string {
  const port = message.subarray(CLIENT_PORT, CLIENT_PORT + 2);
  const address = message.subarray(CLIENT_ADDRESS, CLIENT_ADDRESS + 16);
  return [...port, ...address].join(".");
}
