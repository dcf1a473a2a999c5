/**
 * What becomes of the body of a request on Deno.
 *
 * Deno believes the length that a request claims: `text()` and the like set so much memory aside before
 * the first byte, and where that cannot be had the process ends. A length that nobody can send is refused
 * before a handler sees it, and a large body is read piece by piece.
 *
 * The slots are those of `ext/fetch/23_request.js`, `ext/fetch/22_body.js` and `ext/web/06_streams.js`.
 */

/** In bytes: a body up to this size is read as Deno reads it. */
const LARGE = 128 * 1024 * 1024;

/** What Deno keeps behind a `Request` of its server. */
interface InnerRequest {
  /** A look at one header, without all of them being turned into `Headers`. */
  header?(name: string): string | null;
  readonly body?: { streamOrStatic?: object } | null;
}

/** The symbol of a slot, by its description. */
function slotOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

const requestSlot: symbol | undefined = slotOf(new Request("http://probe/"), "request");
const resourceSlot: symbol | undefined = slotOf(new ReadableStream(), "[[resourceBacking]]");
const stateSlot: symbol | undefined = slotOf(new ReadableStream(), "[[state]]");

/** Whether all that is looked at here is there on this version of Deno. */
export const seesUploads: boolean = requestSlot !== undefined && resourceSlot !== undefined &&
  stateSlot !== undefined;

/**
 * The length that a request claims for its body, in bytes: undefined if Deno gives it no body, and 0 if
 * it claims none.
 */
export function claimedLength(request: Request): number | undefined {
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  const header = headerOf(request, "content-length");
  // The first of several, which have to be the same.
  return header === null ? 0 : parseInt(header, 10);
}

/** Whether a request came over HTTP/2, where its host is no header. One of HTTP/1.0 may be without it, too. */
export function isHttp2(request: Request): boolean {
  return headerOf(request, "host") === null;
}

/** A header, without the object that Deno makes of them for those who ask for `headers`. */
function headerOf(request: Request, name: string): string | null {
  const inner = innerOf(request);
  return typeof inner?.header === "function" ? inner.header(name) : request.headers.get(name);
}

/**
 * Returns whether a body of the claimed length can be received: not if it cannot even be counted. Has a
 * large one read piece by piece.
 */
export function isReceivable(request: Request, claimed: number | undefined): boolean {
  if (claimed === undefined || claimed <= LARGE) return true;
  if (claimed > Number.MAX_SAFE_INTEGER) return false;
  readPieceByPiece(request);
  return true;
}

/**
 * Whether a part of the body is yet to be received. After the response Deno discards it, for as long as
 * its client sends. A body that came together with its head has been received.
 */
export function isUnread(request: Request, claimed: number | undefined): boolean {
  if (claimed === undefined) return false;
  const stream = streamOf(request);
  if (valueOf(stream, stateSlot) !== "readable") return false;
  return claimed > LARGE || valueOf(stream, resourceSlot) != null;
}

/** Of a stream that has been through another Deno does not know where it comes from. */
function readPieceByPiece(request: Request): void {
  const body = innerOf(request)?.body;
  if (!(body?.streamOrStatic instanceof ReadableStream)) return;
  body.streamOrStatic = body.streamOrStatic.pipeThrough(new TransformStream());
}

function innerOf(request: Request): InnerRequest | undefined {
  // The cast: slots have no types; each step may be absent.
  return valueOf(request, requestSlot) as InnerRequest | undefined;
}

function streamOf(request: Request): object | undefined {
  try {
    return innerOf(request)?.body?.streamOrStatic;
  } catch {
    // The client is gone.
    return undefined;
  }
}

function valueOf(object: object | undefined, slot: symbol | undefined): unknown {
  // The cast: slots have no types.
  return object && slot && (object as unknown as Record<symbol, unknown>)[slot];
}
