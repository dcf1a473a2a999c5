/**
 * The first of the two GOAWAY frames that end an HTTP/2 session without losing a stream (RFC 9113, section
 * 6.8). The frame names the largest possible stream id, so that streams which the client begins before it
 * receives the frame are still accepted. No runtime has this in its API.
 */
import { Buffer } from "node:buffer";
import { writeSync } from "node:fs";
import type http2 from "node:http2";
import type net from "node:net";
import process from "node:process";
import { internals } from "./internals.ts";

const LARGEST_STREAM = 2 ** 31 - 1;

/**
 * The first GOAWAY frame: 8 bytes of payload, type GOAWAY, no flags, stream 0; then the stream id and
 * NO_ERROR.
 */
const NOTICE = Buffer.from("00000807000000000000000000000000".padEnd(34, "0"), "hex");
NOTICE.writeUInt32BE(LARGEST_STREAM, 9);

/**
 * Sends a GOAWAY frame that tells the client to begin no more streams, while streams that the client has
 * begun are still accepted. Returns false if the frame cannot be sent on this runtime or at this time.
 */
export function sendGoawayNotice(session: http2.ServerHttp2Session, socket: net.Socket): boolean {
  if ("bun" in process.versions) {
    session.goaway(0, LARGEST_STREAM);
    return true;
  }
  // With nghttp2, on Node and Deno, `goaway` makes the session ignore every new stream, whatever id is
  // named: https://github.com/nghttp2/nghttp2/blob/v1.68.0/lib/nghttp2_session.c (GOAWAY_SENT). Deno
  // exposes nghttp2's own function for this, but after it a GOAWAY from the client ends the process.
  return session.encrypted === false && !("deno" in process.versions) && writeNotice(socket);
}

/**
 * Writes the GOAWAY frame directly to the descriptor of a socket. This is possible only between two frames
 * of Node, when the kernel has all bytes that Node has written. It is impossible over TLS, whose state
 * belongs to Node: Node ends the process if a session did not do the write itself.
 */
function writeNotice(socket: net.Socket): boolean {
  const handle = internals.handleOf(socket);
  const fd = handle?.fd ?? -1;
  if (fd < 0 || handle?.writeQueueSize !== 0) return false;
  try {
    // A partly written frame corrupts the session.
    if (writeSync(fd, NOTICE) < NOTICE.length) socket.destroy();
    return true;
  } catch {
    // The kernel has no room, or the connection is gone.
    return false;
  }
}
