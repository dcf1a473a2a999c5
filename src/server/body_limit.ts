import { BodyTooLargeError } from "../core/errors.ts";
import type { Answer, Handler, ServeInfo } from "../options/serve.ts";

/** The runtime's own request for each request whose body is limited. */
const originals = new WeakMap<Request, Request>();

/**
 * Returns the runtime's own request behind a request whose body is limited. Functions of the runtime accept
 * only the former.
 */
export function originalOf(request: Request): Request {
  return originals.get(request) ?? request;
}

/** The methods that the constructor of Request refuses (Fetch, forbidden methods). */
const FORBIDDEN: readonly string[] = ["CONNECT", "TRACE", "TRACK"];

/**
 * Returns a handler that gets requests whose body cannot be read beyond `max` bytes. A larger body fails with a
 * {@linkcode BodyTooLargeError}. If the handler does not catch the error, the response is a 413.
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
  // With these two methods a body is unusual, and most runtimes give handlers none.
  return (length === null && (method === "GET" || method === "HEAD")) || request.body === null;
}

function limitBody(request: Request, max: number): Request {
  const { url, method, headers } = request;
  const isTooLarge = Number(headers.get("content-length")) > max;
  // The cast: a body that is null is within every limit.
  const original = request.body as ReadableStream<Uint8Array>;
  const body = isTooLarge ? tooLarge(original, max) : limited(original, max);
  // On Bun the URL of a request without a host is a bare path: only the original Request can be copied. A request of
  // the engine "node" cannot be copied by the constructor of Request.
  const input = URL.canParse(url) ? url : request;
  // The cast: every runtime requires `duplex`, but not every type declares it.
  const init = { method, headers, body, duplex: "half" } as RequestInit;
  const limitedRequest = new Request(input, init);
  // Deno prints a warning when a program reads the signal of a request, so read it only on demand.
  Object.defineProperty(limitedRequest, "signal", { get: () => request.signal });
  originals.set(limitedRequest, request);
  return limitedRequest;
}

/** Returns a body that fails as soon as it is read. At that moment `body` is canceled. */
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
 * Returns a body that fails as soon as more than `max` bytes of `body` have been read. `body` is then canceled.
 * `body` is not touched before the returned body is read, so that an upload that the handler does not read counts
 * as unread.
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
