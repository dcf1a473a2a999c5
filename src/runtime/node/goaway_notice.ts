/**
 * The first of the two GOAWAY frames that end a session of HTTP/2 without losing a stream (RFC 9113,
 * section 6.8): it names the largest stream id there is, so that a client which is yet to receive it may go
 * on. No runtime has this in its API.
 */
import { Buffer } from "node:buffer";
import { writeSync } from "node:fs";
import type http2 from "node:http2";
import type net from "node:net";
import process from "node:process";
import { internals } from "./internals.ts";

const LARGEST_STREAM = 2 ** 31 - 1;

/** A whole frame: 8 bytes of payload, type GOAWAY, no flags, stream 0; then the stream id and NO_ERROR. */
const NOTICE = Buffer.from("00000807000000000000000000000000".padEnd(34, "0"), "hex");
NOTICE.writeUInt32BE(LARGEST_STREAM, 9);

/**
 * Tells the client to begin no more streams, and goes on to accept those that it has begun. Returns false
 * where the runtime cannot.
 */
export function sendGoawayNotice(session: http2.ServerHttp2Session, socket: net.Socket): boolean {
  if ("bun" in process.versions) {
    session.goaway(0, LARGEST_STREAM);
    return true;
  }
  // With nghttp2, on Node and Deno, `goaway` would have the session ignore each new stream, whatever id it
  // names: https://github.com/nghttp2/nghttp2/blob/v1.68.0/lib/nghttp2_session.c (GOAWAY_SENT). Deno has
  // nghttp2's own function for this behind a session, but then a GOAWAY of the client's ends the process.
  return session.encrypted === false && !("deno" in process.versions) && writeNotice(socket);
}

/**
 * Writes the frame between two frames of node's, where that is possible: when all that node has written is
 * with the kernel. Not over TLS, whose state belongs to node, which ends the process when a session did not
 * write for itself.
 */
function writeNotice(socket: net.Socket): boolean {
  const handle = internals.handleOf(socket);
  const fd = handle?.fd ?? -1;
  if (fd < 0 || handle?.writeQueueSize !== 0) return false;
  try {
    // Half a frame cannot be taken back.
    if (writeSync(fd, NOTICE) < NOTICE.length) socket.destroy();
    return true;
  } catch {
    // The kernel has no room, or the connection is gone.
    return false;
  }
}
