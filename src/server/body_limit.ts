import { BodyTooLargeError } from "../core/errors.ts";
import type { Answer, Handler, ServeInfo } from "../options/serve.ts";

/** The requests of the runtime, by the requests with a limited body that stand for them. */
const originals = new WeakMap<Request, Request>();

/** Returns the runtime's own request, for functions of the runtime that know no other. */
export function originalOf(request: Request): Request {
  return originals.get(request) ?? request;
}

/** The methods with which no program can make a Request (Fetch, forbidden methods). */
const FORBIDDEN: readonly string[] = ["CONNECT", "TRACE", "TRACK"];

/**
 * Returns a handler that gets requests whose body cannot be read beyond `max` bytes. If the handler lets the error
 * pass that the body ends with, the response is a 413.
 */
export function limitBodies(handler: Handler, max: number): Handler {
  if (max === Infinity) return handler;
  return (request, info) => {
    if (isWithin(request, max)) return handler(request, info);
    if (FORBIDDEN.includes(request.method)) return new BodyTooLargeError(max).getResponse();
    return answer(handler, limitBody(request, max), info);
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

/** Reports whether the body of a request is known to be within the limit, as most are. */
function isWithin(request: Request, max: number): boolean {
  const { method } = request;
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) <= max) return true;
  // With these methods a body is unusual, and most runtimes give handlers none.
  return (length === null && (method === "GET" || method === "HEAD")) || request.body === null;
}

function limitBody(request: Request, max: number): Request {
  const { url, method, headers } = request;
  const isTooLarge = Number(headers.get("content-length")) > max;
  // The cast: a body that is null is within every limit.
  const original = request.body as ReadableStream<Uint8Array>;
  const body = isTooLarge ? tooLarge(original, max) : limited(original, max);
  // On Bun the URL of a request without a host is its path, with which only another Request can be made. The request
  // of the engine "node" is no Request that another one can be made from.
  const input = URL.canParse(url) ? url : request;
  // The cast: half duplex is what every runtime asks for and not every type declares.
  const init = { method, headers, body, duplex: "half" } as RequestInit;
  const limitedRequest = new Request(input, init);
  // Deno warns a program that reads the signal of a request.
  Object.defineProperty(limitedRequest, "signal", { get: () => request.signal });
  originals.set(limitedRequest, request);
  return limitedRequest;
}

/** Returns a body that ends with an error where it is read, and cancels `body` there. */
function tooLarge(body: ReadableStream<Uint8Array>, max: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      controller.error(new BodyTooLargeError(max));
      await body.cancel();
    },
    cancel: (reason) => body.cancel(reason),
  }, { highWaterMark: 0 });
}

/**
 * Returns a body that ends with an error where `body` passes the limit, and cancels `body` there. Nothing touches
 * `body` before it is read, so that an upload that the handler does not read counts as unread.
 */
function limited(body: ReadableStream<Uint8Array>, max: number): ReadableStream<Uint8Array> {
  let left = max;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  return new ReadableStream({
    async pull(controller) {
      reader ??= body.getReader();
      const { done, value } = await reader.read();
      if (done) return controller.close();
      left -= value.byteLength;
      if (left >= 0) return controller.enqueue(value);
      controller.error(new BodyTooLargeError(max));
      await reader.cancel();
    },
    cancel: (reason) => (reader ?? body).cancel(reason),
  }, { highWaterMark: 0 });
}
