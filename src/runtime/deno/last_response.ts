/**
 * The last response of a connection. Deno writes a `Connection` header of its own beside that of the
 * response: `close` to a client that asks for it, and `keep-alive` to one of HTTP/1.0 that asks for that,
 * unless the length of the body is unknown. (Before 2.9.6 it says `close` behind uploads, too.)
 */
import { sayingClose } from "../../server/last_response.ts";

/** The statuses of responses that have no body. */
const BODILESS: readonly number[] = [101, 204, 205, 304];

/** Returns the response, saying once that it is the last one of its connection. */
export function lastOf(request: Request, response: Response): Response {
  const connection = request.headers.get("connection")?.toLowerCase() ?? "";
  if (connection.includes("close")) return without("connection", response);
  const last = sayingClose(response);
  // A version is not to be seen. What is meant for HTTP/1.0 does no harm in HTTP/1.1.
  return connection.includes("keep-alive") ? ofUnknownLength(request, last) : last;
}

/** Removes the length of a body. A response to HEAD, or with a status without a body, has none. */
function ofUnknownLength(request: Request, response: Response): Response {
  if (request.method === "HEAD" || BODILESS.includes(response.status)) return response;
  const { status, statusText, headers, body } = without("content-length", response);
  // Deno recognizes the stream of a body that was at hand whole, and its length.
  const stream = body?.pipeThrough(new TransformStream()) ?? emptyStream();
  return new Response(stream, { status, statusText, headers });
}

function emptyStream(): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

function without(name: string, response: Response): Response {
  if (!response.headers.has(name)) return response;
  const { status, statusText, body } = response;
  const headers = new Headers(response.headers);
  headers.delete(name);
  return new Response(body, { status, statusText, headers });
}
