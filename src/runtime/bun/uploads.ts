import type { BunFlight } from "./flights.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { LINGER } from "../../server/linger.ts";
import { ConnMarks } from "./conn_marks.ts";

/** The methods of a request that read its body to the end. */
const READERS = ["arrayBuffer", "blob", "bytes", "formData", "json", "text"] as const;

/**
 * The connections on which a request was answered before its upload was read. Bun receives the rest of the
 * upload afterwards, and does not count the connection as idle until its next request is answered.
 */
export class UnreadUploads {
  readonly #conns = new ConnMarks();
  /** The requests whose handler has read the property `body`. */
  readonly #streamed = new WeakSet<Request>();
  /** The requests among these whose body was read to its end, by a method of the request or by a loop. */
  readonly #read = new WeakSet<Request>();
  readonly #watchedReaders = watchedReaders((request) => this.#read.add(request));
  readonly #watchedBody = watchedBody((request, body) => {
    if (this.#streamed.has(request)) return;
    this.#streamed.add(request);
    Object.defineProperties(request, this.#watchedReaders);
    if (body !== null) watchLoops(body, () => this.#read.add(request));
  });

  get isEmpty(): boolean {
    return this.#conns.isEmpty;
  }

  /**
   * Starts to watch whether the handler reads the property `body` of a request. Bun does not show whether a
   * used body was canceled; a handler that never reads the property cannot have canceled the body. Reading
   * the property after the response would create a stream.
   */
  begin(request: Request): void {
    if (mayHaveBody(request)) Object.defineProperty(request, "body", this.#watchedBody);
  }

  /** Records the connection of an answered request whose upload may be unread. `open` lists connections. */
  answered(info: BunFlight, open: () => readonly KernelConn[]): void {
    const { request } = info;
    if (!mayHaveBody(request)) return;
    if (this.#read.has(request)) return;
    if (request.bodyUsed && !this.#streamed.has(request)) return;
    this.#conns.add(info.remoteAddr, open);
  }

  has(conn: KernelConn): boolean {
    return this.#conns.has(conn);
  }
}

function mayHaveBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** Creates a property `body` that calls `onUse` and then returns the request's original `body`. */
function watchedBody(
  onUse: (request: Request, body: ReadableStream | null) => void,
): PropertyDescriptor {
  const bodyOf = Object.getOwnPropertyDescriptor(Request.prototype, "body")?.get;
  return {
    configurable: true,
    get(this: Request): ReadableStream | null {
      const body = bodyOf?.call(this) ?? null;
      onUse(this, body);
      return body;
    },
  };
}

/** Creates the methods of {@linkcode READERS}, which call `onRead` when the request's own method succeeds. */
function watchedReaders(onRead: (request: Request) => void): PropertyDescriptorMap {
  return Object.fromEntries(READERS.map((name) => [name, {
    configurable: true,
    writable: true,
    value(this: Request) {
      const body = Request.prototype[name].call(this);
      body.then(() => onRead(this), () => {});
      return body;
    },
  }]));
}

/** Calls `onEnd` when a `for await` loop over a stream has come to the end of the stream. */
function watchLoops(stream: ReadableStream, onEnd: () => void): void {
  const { values } = stream;
  const value = (options?: ReadableStreamIteratorOptions) =>
    toItsEnd(values.call(stream, options), onEnd);
  const watched = { configurable: true, writable: true, value };
  Object.defineProperties(stream, { values: watched, [Symbol.asyncIterator]: watched });
}

async function* toItsEnd<T>(chunks: AsyncIterable<T>, onEnd: () => void): AsyncGenerator<T> {
  yield* chunks;
  onEnd();
}

/**
 * Returns the last response of a connection once an unread upload has been received and discarded, for at
 * most {@linkcode LINGER} ms. Bun closes a connection right after its last response. If the client is
 * still sending at that moment, its connection is reset and it can lose the response.
 */
export function afterUpload(request: Request, response: Response): Response | Promise<Response> {
  if (request.body === null || request.bodyUsed) return response;
  // The upload is being read, or is itself the body of the response.
  if (request.body.locked || response.body === request.body) return response;
  return discard(request.body).then(() => response);
}

async function discard(body: ReadableStream): Promise<void> {
  const reader = body.getReader();
  const timer = setTimeout(() => reader.cancel(), LINGER);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The client is gone and needs no response.
  } finally {
    clearTimeout(timer);
  }
}
