/** The protocol of a connection without TLS, which Deno recognizes by the first bytes and does not tell. */
import { internals } from "./internals.ts";

/** The protocol of a connection, as far as its requests show it. */
export type Protocol = "http1" | "http2" | "unknown";

/**
 * Returns the protocol of a request. A request of HTTP/1.1 has a `host` header, and one of HTTP/2 usually does not: a
 * client that sends the header in HTTP/2 is taken for one of HTTP/1. Must be called within the handler of the request.
 */
export function protocolOf(request: Request): Protocol {
  if (internals.headerOf(request, "host") !== null) return "http1";
  // HTTP/2 forbids these headers (RFC 9113, 8.2.2), and h2 refuses requests with them.
  if (internals.headerOf(request, "connection") !== null) return "http1";
  if (internals.headerOf(request, "upgrade") !== null) return "http1";
  const isHttp2 = internals.isHttp2OnStack();
  return isHttp2 === undefined ? "unknown" : isHttp2 ? "http2" : "http1";
}

/** The sizes in bytes of what Deno sends on a session of HTTP/2 before the first response. */
const SETTINGS_AND_WINDOW_UPDATE = 46;
const SETTINGS_ACK = 9;
const PING_ACK = 17;
/** The number of pings of a session without a request up to which the session is recognized. */
const MOST_PINGS = 3;

/**
 * Returns whether a connection on which so many bytes were written may be a session of HTTP/2 without a request. The
 * shortest response of HTTP/1 has 64 bytes. A response that is as long as the answers to some pings is taken for such a
 * session as well.
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
