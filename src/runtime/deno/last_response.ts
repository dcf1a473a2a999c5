/**
 * The last response of a connection. In addition to the `Connection` header of the response, Deno writes
 * its own: `close` to a client that asks for `close`, and `keep-alive` to an HTTP/1.0 client that asks for
 * `keep-alive`, unless the length of the body is unknown. (Deno before 2.9.6 also writes `close` after
 * uploads.)
 */
import { sayingClose } from "../../server/last_response.ts";

/** The status codes of responses without a body. */
const BODILESS: readonly number[] = [101, 204, 205, 304];

/** Returns the response in a form that Deno sends with exactly one header `Connection: close`. */
export function lastOf(request: Request, response: Response): Response {
  const connection = request.headers.get("connection")?.toLowerCase() ?? "";
  if (connection.includes("close")) return withoutHeader("connection", response);
  const last = sayingClose(response);
  // The HTTP version of the request is not visible. The change for HTTP/1.0 does no harm in HTTP/1.1.
  return connection.includes("keep-alive") ? ofUnknownLength(request, last) : last;
}

/**
 * Returns the response with a body of unknown length, so that Deno does not write `keep-alive`. A response
 * without a body is returned unchanged.
 */
function ofUnknownLength(request: Request, response: Response): Response {
  if (request.method === "HEAD" || BODILESS.includes(response.status)) return response;
  const { status, statusText, headers, body } = withoutHeader("content-length", response);
  // Deno knows the length of a stream that it has made of a static body. A piped stream has no known
  // length.
  const stream = body?.pipeThrough(new TransformStream()) ?? emptyStream();
  return new Response(stream, { status, statusText, headers });
}

function emptyStream(): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

function withoutHeader(name: string, response: Response): Response {
  if (!response.headers.has(name)) return response;
  const { status, statusText, body } = response;
  const headers = new Headers(response.headers);
  headers.delete(name);
  return new Response(body, { status, statusText, headers });
}
