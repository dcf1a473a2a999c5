/** What the kernel counts of the data on a TCP connection, in its `struct tcp_info`. */
import { IPPROTO_TCP, TCP_ESTABLISHED, TCP_INFO } from "./headers.ts";
import type { LibC } from "./libc.ts";

/** The offsets of fields in `struct tcp_info`. */
const STATE = 0;
const UNACKED = 24;
const LAST_DATA_SENT = 44;
const LAST_DATA_RECV = 52;
const BYTES_RECEIVED = 128;
const NOTSENT_BYTES = 144;
const BYTES_SENT = 200;
const BYTES_RETRANS = 208;
const SIZE = 216;

/** The traffic on a TCP connection. */
export interface Traffic {
  /** Whether both sides can still send. */
  readonly isEstablished: boolean;
  /** The number of bytes that the runtime has written, of which some may wait in the send buffer. */
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

/** Reads the traffic of one socket after the other, into the same buffer: there can be tens of thousands. */
export class TrafficReader {
  readonly #libc: LibC;
  readonly #info = new Uint8Array(SIZE);
  readonly #view = new DataView(this.#info.buffer);
  readonly #size = new Uint32Array(1);
  readonly #sizeBytes = new Uint8Array(this.#size.buffer);

  constructor(libc: LibC) {
    this.#libc = libc;
  }

  /** Returns the traffic of a socket; undefined if it is no TCP socket, or if the kernel is older than Linux 4.19. */
  read(fd: number): Traffic | undefined {
    this.#size[0] = SIZE;
    const status = this.#libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#sizeBytes);
    if (status !== 0 || this.#size[0] < SIZE) return undefined;
    const waiting = this.#view.getUint32(NOTSENT_BYTES, true);
    const sent = this.#number(BYTES_SENT) - this.#number(BYTES_RETRANS);
    return {
      isEstablished: this.#info[STATE] === TCP_ESTABLISHED,
      written: sent + waiting,
      received: this.#number(BYTES_RECEIVED),
      isDelivered: waiting === 0 && this.#view.getUint32(UNACKED, true) === 0,
      sentAgo: this.#view.getUint32(LAST_DATA_SENT, true),
      receivedAgo: this.#view.getUint32(LAST_DATA_RECV, true),
    };
  }

  #number(offset: number): number {
    return Number(this.#view.getBigUint64(offset, true));
  }
}
