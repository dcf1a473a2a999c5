/** The offsets of the fields of `struct tcp_info` (`linux/tcp.h`), which are the same on every processor. */

export const INFO_STATE = 0;
export const INFO_UNACKED = 24;
export const INFO_LAST_DATA_SENT = 44;
export const INFO_LAST_DATA_RECV = 52;
export const INFO_TOTAL_RETRANS = 100;
export const INFO_BYTES_ACKED = 120;
export const INFO_BYTES_RECEIVED = 128;
export const INFO_NOTSENT_BYTES = 144;
export const INFO_BYTES_SENT = 200;
export const INFO_BYTES_RETRANS = 208;
/**
 * The number of connections in the accept queue of a listener: for a listener the kernel puts this number into
 * the field `tcpi_unacked`.
 */
export const INFO_ACCEPT_QUEUE: number = INFO_UNACKED;
