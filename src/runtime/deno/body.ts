/**
 * The conversion of large response bodies to streams. Deno reports when a response has been delivered only
 * if the body is a stream. A static body, which Deno is given whole, counts as delivered as soon as Deno has
 * it, however slowly the client reads, and cannot be cut off any more. A small body may stay static, because
 * it fits into the buffer of the socket.
 */
import { Buffer } from "node:buffer";
import { internals, type StaticBody } from "./internals.ts";

/**
 * The largest `length` of a body that stays static. A socket takes that many bytes at once: on Linux about
 * 87 000 at first.
 */
const SMALL = 65_536;

/** Returns whether the response has a static body, which is a string or bytes that Deno is given whole. */
export function hasStaticBody(response: Response): boolean {
  return internals.staticBodyOf(response) !== undefined;
}

/**
 * Converts a large static body of a response to a stream, in place. Returns whether the response has a
 * static body afterwards.
 */
export function streamLargeBody(response: Response): boolean {
  const body = internals.staticBodyOf(response);
  if (body === undefined) return false;
  if (body.length <= SMALL) return true;
  if (!response.headers.has("content-length")) setLength(response, body);
  // Reading the property makes Deno convert the body to a stream.
  void response.body;
  return false;
}

/** Sets `content-length` to the length of a static body. Without it, Deno sends a stream in chunks. */
function setLength(response: Response, body: StaticBody): void {
  try {
    response.headers.set("content-length", String(Buffer.byteLength(body)));
  } catch {
    // The headers of this response cannot be changed, so Deno sends the body in chunks.
  }
}
