/** What the servers answer with. */

/** The response to a plain request. */
export const GREETING = "hello world";

/** The stream of `/stream`: 64 KiB in four pieces. */
export const PIECES: readonly Uint8Array<ArrayBuffer>[] = Array.from(
  { length: 4 },
  () => new Uint8Array(16 * 1024).fill(0x78),
);
