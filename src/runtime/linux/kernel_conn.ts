/** The connections of a process, as the kernel reports them. */
import type { Addr } from "../../core/addr.ts";
import { IPPROTO_TCP, TCP_ESTABLISHED, TCP_INFO } from "./headers.ts";
import type { LibC } from "./libc.ts";
import type { ListenerLabels } from "./listener_labels.ts";
import { descriptors } from "./proc_files.ts";
import { addrIn, isAt, NAME_SIZE, portIn } from "./sockaddr.ts";
import { cookieOf } from "./socket_options.ts";
import {
  INFO_BYTES_ACKED,
  INFO_BYTES_RECEIVED,
  INFO_LAST_DATA_RECV,
  INFO_LAST_DATA_SENT,
  INFO_NOTSENT_BYTES,
  INFO_STATE,
  INFO_TOTAL_RETRANS,
  INFO_UNACKED,
} from "./tcp_info.ts";

/** A connection, as the kernel reports it. */
export interface KernelConn {
  readonly fd: number;
  /** The cookie of the socket: a number that no other socket of the machine has until it is rebooted. */
  readonly cookie: bigint;
  /** The label of the listener that accepted the connection, see {@linkcode ListenerLabels}. */
  readonly label: number | undefined;
  readonly remoteAddr: Addr;
  /**
   * The number of bytes that were received on the connection. Always 0 for a unix socket, for which the
   * kernel does not report it.
   */
  readonly received: bigint;
  /**
   * Whether nothing has been received on the connection. Always false for a unix socket, for which the kernel
   * does not report it.
   */
  readonly silent: boolean;
  /**
   * The time in ms since something was received. If nothing was received, the time since the handshake, including
   * the time for which the kernel has withheld the connection.
   */
  readonly silentFor: number;
  /** The time in ms since something was sent; undefined if nothing was sent, and for a unix socket. */
  readonly sentFor: number | undefined;
  /** Whether the client has not confirmed all bytes that were sent. Always false for a unix socket. */
  readonly isSending: boolean;
}

/** The number of bytes of `struct tcp_info` that are read. */
const INFO_SIZE = 148;

/** The number of ms after which the kernel repeats its part of a handshake. */
const REPEAT = 1_000;

/** Returns the connections of this process that a listener at an address has accepted. */
export function connectionsAt(libc: LibC, listener: Addr, labels: ListenerLabels): KernelConn[] {
  const conns: KernelConn[] = [];
  findConnection(libc, listener, labels, (conn) => {
    conns.push(conn);
    return false;
  });
  return conns;
}

/**
 * Returns the first connection that such a listener has accepted and for which `has` returns true; undefined
 * without one.
 */
export function findConnection(
  libc: LibC,
  listener: Addr,
  labels: ListenerLabels,
  has: (conn: KernelConn) => boolean,
): KernelConn | undefined {
  const reader = new ConnReader(libc, labels);
  for (const fd of descriptors(libc)) {
    const conn = reader.read(fd, listener);
    if (conn !== undefined && has(conn)) return conn;
  }
  return undefined;
}

/**
 * Reads the connections behind descriptors. The buffers are reused, because there can be tens of thousands of
 * descriptors.
 */
class ConnReader {
  readonly #libc: LibC;
  readonly #labels: ListenerLabels;
  readonly #name = new Uint8Array(NAME_SIZE);
  readonly #info = new Uint8Array(INFO_SIZE);
  readonly #infoView = new DataView(this.#info.buffer);
  readonly #size = new Uint32Array(1);
  readonly #sizeBytes = new Uint8Array(this.#size.buffer);

  constructor(libc: LibC, labels: ListenerLabels) {
    this.#libc = libc;
    this.#labels = labels;
  }

  /** Returns the connection behind a descriptor, or undefined if the listener has not accepted it. */
  read(fd: number, listener: Addr): KernelConn | undefined {
    return listener.transport === "tcp"
      ? this.#readTcp(fd, listener)
      : this.#readUnix(fd, listener);
  }

  #readTcp(fd: number, listener: Addr & { transport: "tcp" }): KernelConn | undefined {
    if (!this.#readLocalName(fd)) return undefined;
    // The port is compared first, because reading it is faster than reading the whole address.
    if (portIn(this.#name) !== listener.port) return undefined;
    if (!isAt(addrIn(this.#name)!, listener)) return undefined;
    if (!this.#readInfo(fd) || this.#info[INFO_STATE] !== TCP_ESTABLISHED) return undefined;
    if (!this.#readPeerName(fd)) return undefined;
    const received = this.#infoView.getBigUint64(INFO_BYTES_RECEIVED, true);
    return {
      fd,
      cookie: cookieOf(this.#libc, fd),
      label: this.#labels.labelOf(fd),
      remoteAddr: addrIn(this.#name)!,
      received,
      silent: received === 0n,
      silentFor: this.#infoView.getUint32(INFO_LAST_DATA_RECV, true) +
        (received === 0n ? this.#withheldFor() : 0),
      sentFor: this.#infoView.getBigUint64(INFO_BYTES_ACKED, true) === 0n
        ? undefined
        : this.#infoView.getUint32(INFO_LAST_DATA_SENT, true),
      isSending: this.#infoView.getUint32(INFO_UNACKED, true) > 0 ||
        this.#infoView.getUint32(INFO_NOTSENT_BYTES, true) > 0,
    };
  }

  /**
   * Returns the time for which the kernel has withheld a connection on which nothing was sent or received. On such a
   * connection only the kernel's part of the handshake can have been repeated.
   */
  #withheldFor(): number {
    return this.#infoView.getUint32(INFO_TOTAL_RETRANS, true) > 0 ? REPEAT : 0;
  }

  /**
   * Reads a unix socket. An accepted socket has the same name as its listener, but in contrast to the
   * listener also a peer.
   */
  #readUnix(fd: number, listener: Addr & { transport: "unix" }): KernelConn | undefined {
    if (!this.#readLocalName(fd)) return undefined;
    const local = addrIn(this.#name);
    if (local === undefined || !isAt(local, listener)) return undefined;
    if (!this.#readPeerName(fd)) return undefined;
    return {
      fd,
      cookie: cookieOf(this.#libc, fd),
      label: undefined,
      remoteAddr: { transport: "unix", path: "" },
      received: 0n,
      silent: false,
      silentFor: 0,
      sentFor: undefined,
      isSending: false,
    };
  }

  #readLocalName(fd: number): boolean {
    this.#size[0] = NAME_SIZE;
    // The buffer may still hold a longer path, which would continue behind a shorter one.
    this.#name.fill(0);
    return this.#libc.getsockname(fd, this.#name, this.#sizeBytes) === 0;
  }

  #readPeerName(fd: number): boolean {
    this.#size[0] = NAME_SIZE;
    return this.#libc.getpeername(fd, this.#name, this.#sizeBytes) === 0;
  }

  #readInfo(fd: number): boolean {
    this.#size[0] = INFO_SIZE;
    this.#info.fill(0);
    return this.#libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#sizeBytes) === 0;
  }
}
