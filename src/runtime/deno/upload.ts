/**
 * What becomes of the body of a request on Deno.
 *
 * Deno believes the length that a request claims: `text()` and the like set so much memory aside before
 * the first byte, and where that cannot be had the process ends. A length that nobody can send is refused
 * before a handler sees it, and a large body is read piece by piece.
 */

import { internals } from "./internals.ts";

/** The size in bytes up to which a body is read as Deno reads it. */
const LARGE = 128 * 1024 * 1024;

/**
 * The length that a request claims for its body, in bytes: undefined if Deno gives it no body, and 0 if
 * it claims none.
 */
export function claimedLength(request: Request): number | undefined {
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  const header = internals.headerOf(request, "content-length");
  // The first of several, which have to be the same.
  return header === null ? 0 : parseInt(header, 10);
}

/** Whether a request came over HTTP/2, where its host is no header. One of HTTP/1.0 may be without it, too. */
export function isHttp2(request: Request): boolean {
  return internals.headerOf(request, "host") === null;
}

/**
 * Returns whether a body of the claimed length can be received: not if it cannot even be counted. Has a
 * large one read piece by piece.
 */
export function isReceivable(request: Request, claimed: number | undefined): boolean {
  if (claimed === undefined || claimed <= LARGE) return true;
  if (claimed > Number.MAX_SAFE_INTEGER) return false;
  internals.readInPieces(request);
  return true;
}

/**
 * Whether a part of the body is yet to be received. After the response Deno discards it, for as long as
 * its client sends. A body that came together with its head has been received.
 */
export function isUnread(request: Request, claimed: number | undefined): boolean {
  if (claimed === undefined) return false;
  const upload = internals.uploadOf(request);
  if (upload === undefined) return false;
  return upload.isReadable ? claimed > LARGE || upload.hasResource : !upload.isComplete;
}
