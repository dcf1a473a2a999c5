/** The last HTTP/1 response of a connection, which says so whatever its handler wants it to say. */
import type http from "node:http";
import { internals } from "./internals.ts";

type Headers = http.OutgoingHttpHeaders | http.OutgoingHttpHeader[] | Pair[];
type Pair = [name: string, value: http.OutgoingHttpHeader];
type WriteHead = (status: number, reason?: string | Headers, headers?: Headers) => unknown;

/**
 * Has a response whose head is not written yet say `Connection: close`. A header that was set by then,
 * or is given to `writeHead`, or is removed, counts for nothing: its connection ends.
 */
export function sayCloseAtHead(res: http.ServerResponse): void {
  // The cast: what there is of overloads comes to this.
  const writeHead = res.writeHead.bind(res) as WriteHead;
  // What node calls as well when the head is written without it.
  const sayingClose: WriteHead = (status, reason, headers) => {
    const text = typeof reason === "string" ? reason : undefined;
    const given = headers ?? (typeof reason === "string" ? undefined : reason);
    // Not one of those that come before the response.
    if (status < 200) return callWith(writeHead, status, text, given);
    return callWith(writeHead, status, text, lastHeaders(res, given));
  };
  // The cast: as above.
  res.writeHead = sayingClose as typeof res.writeHead;
}

/** The head of a response, and not of one that comes before it. */
const HEAD = /^HTTP\/1\.1 [2-9][^]*?\r\n\r\n/;
const KEPT_ALIVE = /^(?:connection|keep-alive):.*\r\n/gim;

/**
 * The same for a response whose head is written, but not sent, because the one before it in a pipeline
 * is not over. False if it is on its way, or out of reach.
 */
export function sayCloseInHeldHead(res: http.ServerResponse): boolean {
  const held = internals.heldResponse(res);
  const [first] = held?.outputData ?? [];
  const head = typeof first?.data === "string" ? HEAD.exec(first.data)?.[0] : undefined;
  if (held === undefined || first === undefined || head === undefined) return false;
  const last = head.replace(KEPT_ALIVE, "").replace("\r\n", "\r\nConnection: close\r\n");
  // The cast: it is a string, as was seen above.
  first.data = last + (first.data as string).slice(head.length);
  held.outputSize += last.length - head.length;
  // Node closes the connection behind it.
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

/** Returns the headers together with the one that closes the connection. */
function lastHeaders(res: http.ServerResponse, given: Headers | undefined): Headers | undefined {
  if (!Array.isArray(given)) {
    res.setHeader("connection", "close");
    return given &&
      Object.fromEntries(Object.entries(given).filter(([name]) => !isConnection(name)));
  }
  // A header that was set before would have node take the array for another kind.
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
