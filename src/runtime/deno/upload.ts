/**
 * The limits and the state of request bodies on Deno.
 *
 * Deno trusts the length that a request claims: `text()` and similar methods allocate as much memory before
 * the first byte arrives, and the process ends if the allocation fails. A request with an impossible length
 * is therefore refused before a handler sees it, and a large body is read piece by piece.
 */

import { internals } from "./internals.ts";

/** The largest claimed length in bytes of a body that Deno may read in its own way. */
const LARGE = 128 * 1024 * 1024;

/**
 * Returns the length in bytes that a request claims for its body. Returns undefined for a request to which
 * Deno gives no body, and 0 if the request claims no length.
 */
export function claimedLength(request: Request): number | undefined {
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  const header = internals.headerOf(request, "content-length");
  // parseInt() reads the first of several values, which must all be the same.
  return header === null ? 0 : parseInt(header, 10);
}

/**
 * Returns whether a request has no `host` header, which is the sign of HTTP/2. An HTTP/1.0 request may lack
 * the header too.
 */
export function isHttp2(request: Request): boolean {
  return internals.headerOf(request, "host") === null;
}

/**
 * Returns whether a body of the claimed length can be received, which is false above
 * `Number.MAX_SAFE_INTEGER`. Makes Deno read a large body piece by piece.
 */
export function isReceivable(request: Request, claimed: number | undefined): boolean {
  if (claimed === undefined || claimed <= LARGE) return true;
  if (claimed > Number.MAX_SAFE_INTEGER) return false;
  internals.readInPieces(request);
  return true;
}

/**
 * Returns whether a part of the request body has not been received yet. After the response, Deno discards
 * that part for as long as the client sends. A body that arrived together with the head counts as received.
 */
export function isUnread(request: Request, claimed: number | undefined): boolean {
  if (claimed === undefined) return false;
  const upload = internals.uploadOf(request);
  if (upload === undefined) return false;
  // Deno keeps no resource for a body that arrived together with its head.
  const mayBeLeft = claimed > LARGE || upload.hasResource;
  return mayBeLeft && (upload.isReadable || !upload.isComplete);
}
