/** The connections of a process as the kernel has them. */
import type { Addr } from "../../core/addr.ts";
import type { LibC } from "./libc.ts";
import type { ListenerLabels } from "./listener_labels.ts";
import { descriptors } from "./proc_files.ts";
import { addrIn, isAt, NAME_SIZE, portIn } from "./sockaddr.ts";
import { cookieOf, IPPROTO_TCP, uint32 } from "./socket_options.ts";

/** A connection as the kernel has it. */
export interface KernelConn {
  readonly fd: number;
  /** The cookie, which tells the socket from every other one for as long as the machine runs. */
  readonly cookie: bigint;
  /** The label of the listener that accepted the connection, see {@linkcode ListenerLabels}. */
  readonly label: number | undefined;
  readonly remoteAddr: Addr;
  /** Whether nothing has been received on the connection. Always false for a unix socket: the kernel does not tell. */
  readonly silent: boolean;
  /** The time in ms since something was received, or since the connection was accepted. */
  readonly silentFor: number;
}

const TCP_INFO = 11;
const TCP_ESTABLISHED = 1;
/** The offsets of fields in `struct tcp_info`. */
const INFO_STATE = 0;
const INFO_LAST_DATA_RECV = 52;
const INFO_BYTES_RECEIVED = 128;
const INFO_SIZE = 136;

/** Returns the connections of this process that a listener at an address has accepted. */
export function connectionsAt(libc: LibC, listener: Addr, labels: ListenerLabels): KernelConn[] {
  const conns = listener.transport === "tcp"
    ? (fd: number) => tcpConn(libc, fd, listener, labels)
    : (fd: number) => unixConn(libc, fd, listener);
  return descriptors(libc).flatMap((fd) => conns(fd) ?? []);
}

function tcpConn(
  libc: LibC,
  fd: number,
  listener: Addr & { transport: "tcp" },
  labels: ListenerLabels,
): KernelConn | undefined {
  const name = new Uint8Array(NAME_SIZE);
  if (libc.getsockname(fd, name, uint32(NAME_SIZE)) !== 0) return undefined;
  // The port first: a poll does this for each descriptor.
  if (portIn(name) !== listener.port) return undefined;
  if (!isAt(addrIn(name)!, listener)) return undefined;
  const info = new Uint8Array(INFO_SIZE);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, uint32(INFO_SIZE)) !== 0) return undefined;
  if (info[INFO_STATE] !== TCP_ESTABLISHED) return undefined;
  if (libc.getpeername(fd, name, uint32(NAME_SIZE)) !== 0) return undefined;
  const view = new DataView(info.buffer);
  return {
    fd,
    cookie: cookieOf(libc, fd),
    label: labels.labelOf(fd),
    remoteAddr: addrIn(name)!,
    silent: view.getBigUint64(INFO_BYTES_RECEIVED, true) === 0n,
    silentFor: view.getUint32(INFO_LAST_DATA_RECV, true),
  };
}

/** An accepted unix socket has the name of its listener, and a peer, which the listener has not. */
function unixConn(
  libc: LibC,
  fd: number,
  listener: Addr & { transport: "unix" },
): KernelConn | undefined {
  const name = new Uint8Array(NAME_SIZE);
  if (libc.getsockname(fd, name, uint32(NAME_SIZE)) !== 0) return undefined;
  const local = addrIn(name);
  if (local === undefined || !isAt(local, listener)) return undefined;
  if (libc.getpeername(fd, name, uint32(NAME_SIZE)) !== 0) return undefined;
  return {
    fd,
    cookie: cookieOf(libc, fd),
    label: undefined,
    remoteAddr: { transport: "unix", path: "" },
    silent: false,
    silentFor: 0,
  };
}
