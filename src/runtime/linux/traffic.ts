/** The traffic on TCP connections, as the kernel counts it in `struct tcp_info`. */
import { IPPROTO_TCP, TCP_ESTABLISHED, TCP_INFO } from "./headers.ts";
import type { LibC } from "./libc.ts";
import {
  INFO_BYTES_RECEIVED,
  INFO_BYTES_RETRANS,
  INFO_BYTES_SENT,
  INFO_LAST_DATA_RECV,
  INFO_LAST_DATA_SENT,
  INFO_NOTSENT_BYTES,
  INFO_STATE,
  INFO_UNACKED,
} from "./tcp_info.ts";

/** The number of bytes of `struct tcp_info` that are read. */
const SIZE = 216;

/** The traffic on a TCP connection. */
export interface Traffic {
  /** Whether both sides can still send. */
  readonly isEstablished: boolean;
  /** The number of bytes that the runtime has written. Some of them may still wait in the send buffer. */
  readonly written: number;
  /** The number of bytes that have arrived. */
  readonly received: number;
  /** Whether the client has received every byte that was written. */
  readonly isDelivered: boolean;
  /**
   * The time in ms since something was sent, or since the connection was made if nothing has been sent. The kernel
   * counts its times in steps of up to 10 ms.
   */
  readonly sentAgo: number;
  /** The time in ms since something was received, or since the connection was made. */
  readonly receivedAgo: number;
}

/** Reads the traffic of sockets. The buffer is reused, because there can be tens of thousands of sockets. */
export class TrafficReader {
  readonly #libc: LibC;
  readonly #info = new Uint8Array(SIZE);
  readonly #view = new DataView(this.#info.buffer);
  readonly #size = new Uint32Array(1);
  readonly #sizeBytes = new Uint8Array(this.#size.buffer);

  constructor(libc: LibC) {
    this.#libc = libc;
  }

  /**
   * Returns the traffic of a socket; undefined if it is not a TCP socket, or if the kernel is older than
   * Linux 4.19.
   */
  read(fd: number): Traffic | undefined {
    this.#size[0] = SIZE;
    const status = this.#libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#sizeBytes);
    if (status !== 0 || this.#size[0] < SIZE) return undefined;
    const waiting = this.#view.getUint32(INFO_NOTSENT_BYTES, true);
    const sent = this.#number(INFO_BYTES_SENT) - this.#number(INFO_BYTES_RETRANS);
    return {
      isEstablished: this.#info[INFO_STATE] === TCP_ESTABLISHED,
      written: sent + waiting,
      received: this.#number(INFO_BYTES_RECEIVED),
      isDelivered: waiting === 0 && this.#view.getUint32(INFO_UNACKED, true) === 0,
      sentAgo: this.#view.getUint32(INFO_LAST_DATA_SENT, true),
      receivedAgo: this.#view.getUint32(INFO_LAST_DATA_RECV, true),
    };
  }

  #number(offset: number): number {
    return Number(this.#view.getBigUint64(offset, true));
  }
}
