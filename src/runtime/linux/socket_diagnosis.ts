/**
 * The unfinished handshakes with a listener, as `sock_diag(7)` reports them. The table `/proc/net/tcp` has
 * them as well, but among all connections of the machine: with a hundred thousand connections, reading it
 * takes a third of a second.
 */
import { type Addr, keyOf } from "../../core/addr.ts";
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  ENOENT,
  IPPROTO_TCP,
  NETLINK_SOCK_DIAG,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLM_F_REQUEST_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_DIAG_BY_FAMILY,
  SOCK_NONBLOCK,
  TCP_SYN_RECV,
} from "./headers.ts";
import type { LibC } from "./libc.ts";
import { addrIn, isAt, NAME_SIZE } from "./sockaddr.ts";
import { uint32 } from "./socket_options.ts";

/** The size of a `struct nlmsghdr`. */
const HEADER = 16;
/** The size of a request: a header, and a `struct inet_diag_req_v2`, which ends with the id of a socket. */
const REQUEST = HEADER + 56;
/** The offset of the id in a request. */
const REQUEST_ID = HEADER + 8;
/** The offsets of fields in a `struct inet_diag_msg`. */
const STATE = 1;
const REPEATS = 3;
const ID = 4;
const EXPIRES = 52;
/** The size of a `struct inet_diag_sockid`, and the offsets of its fields. */
const ID_SIZE = 48;
const LOCAL_PORT = 0;
const CLIENT_PORT = 2;
const LOCAL_ADDRESS = 4;
const CLIENT_ADDRESS = 20;
const COOKIE = 40;
/**
 * The number of ms after which the kernel first repeats its part of a handshake. Each pause is twice as long
 * as the previous one.
 */
const FIRST_REPEAT = 1_000;
/** The largest number of handshakes for which checking each one costs less than checking all sockets of the machine. */
const FEW = 100;
const CHUNK = 32 * 1024;

/** An unfinished handshake that a client has begun. */
export interface Handshake {
  readonly client: Addr & { transport: "tcp" };
  /** The number of times that the kernel has repeated its part of the handshake. */
  readonly repeats: number;
  /** The time in ms since the kernel has sent its part of the handshake, or has last repeated it. */
  readonly age: number;
  /** The address family of the handshake. */
  readonly family: number;
  /** The kernel's name of the handshake, a `struct inet_diag_sockid`. */
  readonly id: Uint8Array;
}

/**
 * Returns whether the kernel reports the sockets at the address of a listener. The listener itself is used to
 * try this.
 */
export function canDiagnose(libc: LibC, listener: number): boolean {
  const name = new Uint8Array(NAME_SIZE);
  if (libc.getsockname(listener, name, uint32(NAME_SIZE)) !== 0) return false;
  const family = name[0]!;
  const id = new Uint8Array(ID_SIZE);
  id.set(name.subarray(2, 4), LOCAL_PORT);
  id.set(family === AF_INET6 ? name.subarray(8, 24) : name.subarray(4, 8), LOCAL_ADDRESS);
  // A cookie of all ones matches any socket.
  id.fill(0xff, COOKIE);
  const [found] = answersTo(libc, requestFor(family, NLM_F_REQUEST, id)) ?? [];
  return found !== undefined;
}

/**
 * Returns the unfinished handshakes with the listeners at a TCP address. Returns undefined if the kernel does
 * not report them. The kernel searches the sockets of the whole machine, which takes milliseconds.
 */
export function handshakesAt(
  libc: LibC,
  listener: Addr & { transport: "tcp" },
): Handshake[] | undefined {
  const { hostname, port } = listener;
  const family = hostname.includes(":") ? AF_INET6 : AF_INET;
  const id = new Uint8Array(ID_SIZE);
  new DataView(id.buffer).setUint16(LOCAL_PORT, port);
  const answers = answersTo(libc, requestFor(family, NLM_F_REQUEST_DUMP, id));
  return answers?.flatMap((message) => {
    const handshake = handshakeIn(message);
    const local = addrAt(family, message.subarray(ID), LOCAL_PORT, LOCAL_ADDRESS);
    return handshake !== undefined && isAt(local, listener) ? [handshake] : [];
  });
}

/**
 * Returns the current state of those handshakes with the listeners at an address that are still unfinished.
 * Returns undefined if the kernel does not report it. A few handshakes are looked up one by one.
 */
export function lookAgain(
  libc: LibC,
  listener: Addr & { transport: "tcp" },
  handshakes: readonly Handshake[],
): Handshake[] | undefined {
  if (handshakes.length > FEW) {
    const clients = new Set(handshakes.map(({ client }) => keyOf(client)));
    return handshakesAt(libc, listener)?.filter(({ client }) => clients.has(keyOf(client)));
  }
  const left: Handshake[] = [];
  for (const { family, id } of handshakes) {
    const found = answersTo(libc, requestFor(family, NLM_F_REQUEST, id));
    if (found === undefined) return undefined;
    left.push(...found.flatMap((message) => handshakeIn(message) ?? []));
  }
  return left;
}

/** Returns a request for handshakes: for the handshake with an id, or for a list of all handshakes. */
function requestFor(family: number, flags: number, id: Uint8Array): Uint8Array {
  const request = new DataView(new ArrayBuffer(REQUEST));
  request.setUint32(0, REQUEST, true);
  request.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  request.setUint16(6, flags, true);
  request.setUint8(HEADER, family);
  request.setUint8(HEADER + 1, IPPROTO_TCP);
  request.setUint32(HEADER + 4, 1 << TCP_SYN_RECV, true);
  const bytes = new Uint8Array(request.buffer);
  bytes.set(id, REQUEST_ID);
  return bytes;
}

/**
 * Returns the messages with which the kernel answers a request, each a `struct inet_diag_msg`. Returns undefined
 * if the kernel does not answer.
 */
function answersTo(libc: LibC, request: Uint8Array): Uint8Array[] | undefined {
  const fd = libc.socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return undefined;
  try {
    if (libc.send(fd, request, request.length, 0) !== request.length) return undefined;
    const messages: Uint8Array[] = [];
    while (true) {
      const buffer = new Uint8Array(CHUNK);
      const size = libc.read(fd, buffer, CHUNK);
      if (size <= 0) return undefined;
      const last = collect(buffer.subarray(0, size), messages);
      if (last !== undefined) return last === 0 || last === -ENOENT ? messages : undefined;
    }
  } finally {
    libc.close(fd);
  }
}

/**
 * Adds the messages that the kernel has sent to `messages`. Returns undefined if more will follow, or else 0 or
 * the negative number of an error.
 */
function collect(sent: Uint8Array, messages: Uint8Array[]): number | undefined {
  const view = new DataView(sent.buffer, sent.byteOffset);
  for (let at = 0; at + HEADER <= sent.length;) {
    const length = view.getUint32(at, true);
    const type = view.getUint16(at + 4, true);
    // Both kinds of message have an error number after the header.
    if (type === NLMSG_DONE || type === NLMSG_ERROR) return view.getInt32(at + HEADER, true);
    messages.push(sent.subarray(at + HEADER, at + length));
    // The answer to a request for one socket is one message, and has no end.
    if ((view.getUint16(at + 6, true) & NLM_F_MULTI) === 0) return 0;
    // Messages begin at multiples of four bytes.
    at += (length + 3) & ~3;
  }
  return undefined;
}

/** Returns the handshake that a message describes, or undefined if the message describes another kind of socket. */
function handshakeIn(message: Uint8Array): Handshake | undefined {
  if (message[STATE] !== TCP_SYN_RECV) return undefined;
  const family = message[0]!;
  const repeats = message[REPEATS]!;
  const id = message.slice(ID, ID + ID_SIZE);
  const view = new DataView(message.buffer, message.byteOffset);
  const untilNext = view.getUint32(EXPIRES, true);
  return {
    client: addrAt(family, id, CLIENT_PORT, CLIENT_ADDRESS),
    repeats,
    age: Math.max(0, FIRST_REPEAT * 2 ** repeats - untilNext),
    family,
    id,
  };
}

/** Returns an address in an id. The id is converted to a `struct sockaddr` with the same port and address. */
function addrAt(
  family: number,
  id: Uint8Array,
  port: number,
  address: number,
): Addr & { transport: "tcp" } {
  const name = new Uint8Array(28);
  name[0] = family;
  name.set(id.subarray(port, port + 2), 2);
  if (family === AF_INET6) name.set(id.subarray(address, address + 16), 8);
  else name.set(id.subarray(address, address + 4), 4);
  // The cast: an address of this family is a TCP address.
  return addrIn(name) as Addr & { transport: "tcp" };
}
