/** Writes a fetch `Response` to the response object of Node. */
import { Buffer } from "node:buffer";
import type http from "node:http";
import type { Http2ServerResponse as Http2Response } from "node:http2";
import { messageOf } from "./deferred_response.ts";
import { flatten, type Message } from "./message.ts";
import type { Exchange } from "./protocol.ts";

/** An error of a body. The response is destroyed, as the rest of its body cannot be sent. */
export class BodyError extends Error {
  constructor(cause: unknown) {
    super("The body of a response has failed", { cause });
  }
}

/**
 * Sends a response. Returns undefined if Node has been given all of it, and otherwise a promise that
 * resolves when the body has ended or the client is gone.
 *
 * A body that is complete within the turn of the event loop in which it is sent has a `Content-Length`.
 * Other bodies are sent in chunks.
 *
 * @throws {BodyError} As a rejection, if the body fails.
 * @throws What Node throws at a head that it cannot send. The promise may reject with it.
 */
export function sendResponse(res: Exchange["res"], response: Response): Promise<void> | undefined {
  const message = messageOf(response) ?? nativeMessage(response);
  const { body } = message;
  if (body instanceof ReadableStream) return sendStream(res, message, body);
  sendWhole(res, message, body);
  return undefined;
}

function nativeMessage({ status, statusText, headers, body }: Response): Message {
  return { status, statusText, headers: flatten(headers), body };
}

/** Sends a response whose body is in memory: the head and a short body in one packet. */
function sendWhole(
  res: Exchange["res"],
  message: Message,
  body: string | Uint8Array | null,
): void {
  if (body === null) {
    if (res.req.method !== "HEAD" && !isBodiless(message.status)) addLength(message.headers, 0);
    writeHead(res, message);
    res.end();
    return;
  }
  addLength(message.headers, typeof body === "string" ? Buffer.byteLength(body) : body.byteLength);
  writeHead(res, message);
  res.end(body);
}

/** Returns whether responses with a status never have a body, and no length either. */
function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

/** Adds `Content-Length`, unless the handler itself says how the body is framed. */
function addLength(headers: string[], length: number): void {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === "content-length" || headers[i] === "transfer-encoding") return;
  }
  headers.push("content-length", String(length));
}

function writeHead(res: Exchange["res"], { status, statusText, headers }: Message): void {
  // The casts: both kinds of response take an array, and the types of HTTP/2 do not say so.
  if (res.req.httpVersionMajor === 2) (res as Http2Response).writeHead(status, headers as never);
  else (res as http.ServerResponse).writeHead(status, statusText, headers);
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Read = Awaited<ReturnType<Reader["read"]>>;

/** The part of a body that is there in the turn of the event loop in which the body is sent. */
interface Opening {
  readonly chunk: Uint8Array | undefined;
  /** The read that follows the chunk. Undefined if the body has ended. */
  readonly next: Promise<Read> | undefined;
}

async function sendStream(
  res: Exchange["res"],
  message: Message,
  body: ReadableStream<Uint8Array>,
): Promise<void> {
  if (isClosed(res)) return void cancel(body);
  const reader = body.getReader();
  const { chunk, next } = await failing(res, reader, openingOf(reader));
  if (next === undefined) return sendWhole(res, message, chunk ?? new Uint8Array());
  if (message.length !== undefined) addLength(message.headers, message.length);
  writeHead(res, message);
  if (res.req.method === "HEAD") {
    cancel(reader);
    res.end();
    return;
  }
  await failing(res, reader, pump(res, reader, chunk, next));
}

/** Reads a body until it ends, has a second chunk, or the turn of the event loop is over. */
function openingOf(reader: Reader): Promise<Opening> {
  return new Promise((resolve, reject) => {
    let chunk: Uint8Array | undefined;
    let next = reader.read();
    let isOver = false;
    const settle = (next: Opening["next"]) => {
      isOver = true;
      clearImmediate(turn);
      resolve({ chunk, next });
    };
    const turn = setImmediate(() => settle(next));
    const onRead = ({ done, value }: Read) => {
      if (isOver) return;
      if (done) return settle(undefined);
      if (chunk !== undefined) return settle(next);
      chunk = value;
      next = reader.read();
      next.then(onRead, reject);
    };
    next.then(onRead, reject);
  });
}

/** Sends a body chunk by chunk, not faster than the client reads. Returns when the client is gone. */
async function pump(
  res: Exchange["res"],
  reader: Reader,
  chunk: Uint8Array | undefined,
  next: Promise<Read>,
): Promise<void> {
  let wake = () => {};
  let isGone = isClosed(res);
  const onDrain = () => wake();
  const onGone = () => {
    isGone = true;
    cancel(reader);
    wake();
  };
  // The cast: both kinds of response write in the same way.
  const write = async (chunk: Uint8Array) => {
    if (!isGone && !(res as http.ServerResponse).write(chunk)) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  };
  if (isGone) cancel(reader);
  res.on("drain", onDrain).on("close", onGone).on("error", onGone);
  try {
    if (chunk !== undefined) await write(chunk);
    for (let read = await next; !read.done; read = await reader.read()) await write(read.value);
    if (!isGone) res.end();
  } finally {
    res.off("drain", onDrain).off("close", onGone).off("error", onGone);
  }
}

/** Returns whether the client is gone, or the response has ended. */
function isClosed(res: Exchange["res"]): boolean {
  return "stream" in res ? res.stream.destroyed : res.destroyed;
}

/** Awaits a step of a body. If the step fails, destroys the response and throws a {@linkcode BodyError}. */
async function failing<T>(res: Exchange["res"], reader: Reader, step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (error) {
    cancel(reader, error);
    res.destroy(error instanceof Error ? error : undefined);
    throw new BodyError(error);
  }
}

/** Cancels a body that is no longer wanted. Its source may fail at that, which matters to nobody. */
function cancel(body: Reader | ReadableStream<Uint8Array>, reason?: unknown): void {
  body.cancel(reason).catch(() => {});
}
