/** The protocol of a connection without TLS. Deno recognizes it by the first bytes, but does not expose it. */
import { internals } from "./internals.ts";

/** The protocol of a connection, as far as its requests show it. */
export type Protocol = "http1" | "http2" | "unknown";

/**
 * Returns the protocol of a request. An HTTP/1.1 request has a `host` header, and an HTTP/2 request usually does not:
 * a client that sends the header in HTTP/2 is taken for an HTTP/1 client. Must be called within the handler of the
 * request.
 */
export function protocolOf(request: Request): Protocol {
  if (internals.headerOf(request, "host") !== null) return "http1";
  // HTTP/2 forbids these headers (RFC 9113, 8.2.2), and h2 refuses requests with them.
  if (internals.headerOf(request, "connection") !== null) return "http1";
  if (internals.headerOf(request, "upgrade") !== null) return "http1";
  const isHttp2 = internals.isHttp2OnStack();
  return isHttp2 === undefined ? "unknown" : isHttp2 ? "http2" : "http1";
}

/** The size in bytes of the frames that Deno sends on an HTTP/2 session before the first response. */
const SETTINGS_AND_WINDOW_UPDATE = 46;
const SETTINGS_ACK = 9;
const PING_ACK = 17;
/** The largest number of pings with which a session without a request is still recognized. */
const MOST_PINGS = 3;

/**
 * Returns whether a connection on which so many bytes were written may be an HTTP/2 session without a request. The
 * shortest HTTP/1 response has 64 bytes. A response that is exactly as long as the frames of such a session is
 * mistaken for one.
 */
export function mayBeFreshSession(written: number): boolean {
  if (written === SETTINGS_AND_WINDOW_UPDATE) return true;
  const pings = (written - SETTINGS_AND_WINDOW_UPDATE - SETTINGS_ACK) / PING_ACK;
  return Number.isInteger(pings) && pings >= 0 && pings <= MOST_PINGS;
}

/**
 * The frame GOAWAY without an error and with the largest stream id (RFC 9113, 6.8): the client starts no stream any
 * more, and those that it has started are served. Deno's own server does not know of the frame.
 */
export const GOAWAY: Uint8Array = Uint8Array.of(
  ...[0, 0, 8, 7, 0, 0, 0, 0, 0],
  ...[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
);
