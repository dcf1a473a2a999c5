/**
 * Deno tells when a response has been delivered only if its body is a stream: one that is at hand
 * whole counts as done once it is handed over, however slowly the client reads, and can then not be
 * cut off any more. So a large body is made a stream. A small one fits the socket's buffer.
 */
import { Buffer } from "node:buffer";
import { internals, type StaticBody } from "./internals.ts";

/**
 * The largest size in bytes of a small body: a socket takes more at once (Linux begins with about 87 000).
 */
const SMALL = 65_536;

/** Reports whether Deno will be given the body whole. */
export function isBodyAtHand(response: Response): boolean {
  return internals.bodyAtHand(response) !== undefined;
}

/** Makes a large body a stream, in place. */
export function streamLargeBody(response: Response): void {
  const body = internals.bodyAtHand(response);
  if (body === undefined || body.length <= SMALL) return;
  if (!response.headers.has("content-length")) setLength(response, body);
  // Reading the property is what turns the body into a stream.
  void response.body;
}

/** A stream would go out in chunks. */
function setLength(response: Response, body: StaticBody): void {
  try {
    response.headers.set("content-length", String(Buffer.byteLength(body)));
  } catch {
    // The headers cannot be changed: chunks it is.
  }
}
