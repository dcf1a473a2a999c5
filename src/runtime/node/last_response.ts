/**
 * The `Connection: close` header of the last HTTP/1 response of a connection, whatever headers its handler
 * sets.
 */
import type http from "node:http";
import { internals } from "./internals.ts";

type Headers = http.OutgoingHttpHeaders | http.OutgoingHttpHeader[] | Pair[];
type Pair = [name: string, value: http.OutgoingHttpHeader];
type WriteHead = (status: number, reason?: string | Headers, headers?: Headers) => unknown;

/**
 * Makes a response whose head is not written yet say `Connection: close`. The handler cannot override this:
 * a `Connection` header that it sets, passes to `writeHead` or removes has no effect.
 */
export function sayCloseAtHead(res: http.ServerResponse): void {
  // The cast: this signature covers all overloads.
  const writeHead = res.writeHead.bind(res) as WriteHead;
  // Node calls `writeHead` too when the handler writes a body without calling it.
  const sayingClose: WriteHead = (status, reason, headers) => {
    const text = typeof reason === "string" ? reason : undefined;
    const given = headers ?? (typeof reason === "string" ? undefined : reason);
    // Informational responses (1xx) keep their headers.
    if (status < 200) return callWith(writeHead, status, text, given);
    return callWith(writeHead, status, text, lastHeaders(res, given));
  };
  // The cast: this signature covers all overloads.
  res.writeHead = sayingClose as typeof res.writeHead;
}

/** Matches the head of a final response, and not that of an informational (1xx) response. */
const HEAD = /^HTTP\/1\.1 [2-9][^]*?\r\n\r\n/;
/** Matches the header lines that say whether the connection is kept alive. */
const KEPT_ALIVE = /^(?:connection|keep-alive):.*\r\n/gim;

/**
 * Makes a response whose head is written but not sent say `Connection: close`. Such a head waits for an
 * earlier response of the pipeline to end. Returns false if the head is already being sent, or is out of reach.
 */
export function sayCloseInHeldHead(res: http.ServerResponse): boolean {
  const held = internals.heldResponse(res);
  // A `100 Continue` may wait before the head.
  const first = held?.outputData.find(({ data }) => typeof data === "string" && HEAD.test(data));
  if (held === undefined || first === undefined) return false;
  // The cast: a head was found in the data, so the data is a string.
  const data = first.data as string;
  const [head = ""] = HEAD.exec(data) ?? [];
  const last = head.replace(KEPT_ALIVE, "").replace("\r\n", "\r\nConnection: close\r\n");
  first.data = last + data.slice(head.length);
  held.outputSize += last.length - head.length;
  // With these fields Node closes the connection after the response.
  held.shouldKeepAlive = false;
  held._last = true;
  return true;
}

function callWith(
  writeHead: WriteHead,
  status: number,
  reason: string | undefined,
  headers: Headers | undefined,
): unknown {
  return reason === undefined ? writeHead(status, headers) : writeHead(status, reason, headers);
}

/**
 * Returns the given headers without their `Connection` header, and makes the response say `Connection:
 * close`.
 */
function lastHeaders(res: http.ServerResponse, given: Headers | undefined): Headers | undefined {
  if (!Array.isArray(given)) {
    res.setHeader("connection", "close");
    return given &&
      Object.fromEntries(Object.entries(given).filter(([name]) => !isConnection(name)));
  }
  // If a header was set before, Node would interpret the array differently.
  const isFresh = res.getHeaderNames().every(isConnection);
  if (isFresh) res.removeHeader("connection");
  else res.setHeader("connection", "close");
  if (arePairs(given)) {
    const others = given.filter(([name]) => !isConnection(name));
    return isFresh ? [...others, ["connection", "close"]] : others;
  }
  const others = given.filter((_, i) => !isConnection(String(given[i - i % 2])));
  return isFresh ? [...others, "connection", "close"] : others;
}

function arePairs(headers: http.OutgoingHttpHeader[] | Pair[]): headers is Pair[] {
  return Array.isArray(headers[0]) && headers.every((one) => Array.isArray(one));
}

function isConnection(name: string): boolean {
  return name.toLowerCase() === "connection";
}
