import { BodyTooLargeError } from "../core/errors.ts";
import type { Answer, Handler, ServeInfo } from "../options/serve.ts";

/** The methods whose requests have no body that a handler can read. */
const BODILESS: readonly string[] = ["GET", "HEAD"];

/**
 * Returns a handler that gets requests whose body cannot be read beyond `max` bytes. If the handler lets the error
 * pass that the body ends with, the response is a 413.
 */
export function limitBodies(handler: Handler, max: number): Handler {
  if (max === Infinity) return handler;
  return (request, info) => {
    const limited = limitBody(request, max);
    return limited === request ? handler(request, info) : answer(handler, limited, info);
  };
}

async function answer(handler: Handler, request: Request, info: ServeInfo): Promise<Answer> {
  try {
    return await handler(request, info);
  } catch (error) {
    if (error instanceof BodyTooLargeError) return error.getResponse();
    throw error;
  }
}

/** Returns the request itself if its body is known to be within the limit, so that most requests cost nothing. */
function limitBody(request: Request, max: number): Request {
  const length = request.headers.get("content-length");
  if (length !== null) return Number(length) > max ? withBody(request, tooLarge(max)) : request;
  if (BODILESS.includes(request.method)) return request;
  return request.body === null ? request : withBody(request, limited(request.body, max));
}

function withBody(request: Request, body: ReadableStream<Uint8Array>): Request {
  const { url, method, headers, signal } = request;
  // On Bun the URL of a request without a host is its path, with which only another Request can be made. The request
  // of the engine "node" is no Request that another one can be made from.
  const original = URL.canParse(url) ? url : request;
  // The cast: half duplex is what every runtime asks for and not every type declares.
  return new Request(original, { method, headers, signal, body, duplex: "half" } as RequestInit);
}

function tooLarge(max: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      controller.error(new BodyTooLargeError(max));
    },
  }, { highWaterMark: 0 });
}

/** Returns a body that ends with an error where `body` passes the limit, and cancels `body` there. */
function limited(body: ReadableStream<Uint8Array>, max: number): ReadableStream<Uint8Array> {
  let left = max;
  return body.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        left -= chunk.byteLength;
        if (left < 0) controller.error(new BodyTooLargeError(max));
        else controller.enqueue(chunk);
      },
    }),
  );
}
