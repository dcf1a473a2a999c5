/** Writes a fetch `Response` to the response object of Node. */
import { Buffer } from "node:buffer";
import type http from "node:http";
import type { Http2ServerResponse as Http2Response } from "node:http2";
import { sendNodeResponse } from "srvx/node";
import { messageOf } from "./deferred_response.ts";
import { flatten, type Message } from "./message.ts";
import type { Exchange } from "./protocol.ts";
import { isFastResponse } from "./srvx_internals.ts";

/** The error of a body that has failed. The response is then destroyed, because the rest of its body cannot be sent. */
export class BodyError extends Error {
  constructor(cause: unknown) {
    super("The body of a response has failed", { cause });
  }
}

/**
 * A function that is called when a streamed body is over or the client is gone, and with the error if the
 * response has failed.
 */
export type OnSettled = (error: unknown) => void;

/**
 * Sends a response. An error is given to `onSettled`: a {@linkcode BodyError} if the body has failed, and
 * otherwise what Node throws at a head that it cannot send.
 *
 * A body that is complete within the turn of the event loop in which it is sent has a `Content-Length`.
 * Other bodies are sent in chunks.
 */
export function sendResponse(
  res: Exchange["res"],
  response: Response,
  onSettled: OnSettled,
): void {
  if (isFastResponse(response)) return sendFastResponse(res, response, onSettled);
  try {
    const message = messageOf(response) ?? nativeMessage(response);
    const { body } = message;
    if (!(body instanceof ReadableStream)) sendWhole(res, message, body);
    else if (isClosed(res)) cancel(body);
    else new StreamedResponse(res, message, body, onSettled);
  } catch (error) {
    onSettled(error);
  }
}

/** Sends a `FastResponse` of srvx, which only srvx can read without creating the native object. */
function sendFastResponse(
  res: Exchange["res"],
  response: Response,
  onSettled: OnSettled,
): void {
  // The cast: srvx uses only members that both kinds of response have.
  sendNodeResponse(res as http.ServerResponse, response).then(
    () => onSettled(undefined),
    onSettled,
  );
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
  // The casts: both kinds of response accept an array, but the types of HTTP/2 do not say so.
  if (res.req.httpVersionMajor === 2) (res as Http2Response).writeHead(status, headers as never);
  else {
    const response = res as http.ServerResponse;
    response.writeHead(status, statusText, headers);
    // Of a response that waits for another one of its pipeline, Node would put the head before a
    // `100 Continue` that waits as well, if the body is of bytes (OutgoingMessage._send).
    if (response.socket === null) response.flushHeaders();
  }
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Read = Awaited<ReturnType<Reader["read"]>>;

/** Sends a response whose body is a stream. */
class StreamedResponse {
  // Typed as an HTTP/1 response, because both kinds of response have the members that are used here.
  readonly #res: http.ServerResponse;
  readonly #message: Message;
  readonly #onSettled: OnSettled;
  readonly #reader: Reader;
  /** The first chunk, while it is unknown whether it is the whole body. */
  #first: Uint8Array | undefined;
  /** The end of the turn of the event loop, while the head waits to learn the length of the body. */
  #turn: NodeJS.Immediate | undefined;
  #isSettled = false;

  constructor(
    res: Exchange["res"],
    message: Message,
    body: ReadableStream<Uint8Array>,
    onSettled: OnSettled,
  ) {
    this.#res = res as http.ServerResponse;
    this.#message = message;
    this.#onSettled = onSettled;
    this.#reader = body.getReader();
    this.#turn = setImmediate(() => this.#endTurn());
    this.#read();
  }

  readonly #read = (): void => {
    this.#reader.read().then(this.#onRead, this.#fail);
  };

  readonly #onRead = (read: Read): void => {
    if (this.#isSettled) return;
    try {
      if (read.done) this.#end();
      else if (this.#turn === undefined) this.#write(read.value);
      else this.#writeEarly(read.value);
    } catch (error) {
      this.#fail(error);
    }
  };

  /** Takes a chunk before the head is written. With the second chunk, the length stays unknown. */
  #writeEarly(chunk: Uint8Array): void {
    if (this.#first === undefined) {
      this.#first = chunk;
      this.#read();
    } else if (this.#begin()) this.#write(chunk);
  }

  #endTurn(): void {
    if (!this.#isSettled) this.#begin();
  }

  /** Writes the head and the first chunk. Returns false if nothing more is to be sent. */
  #begin(): boolean {
    clearImmediate(this.#turn);
    this.#turn = undefined;
    const { length, headers } = this.#message;
    if (length !== undefined) addLength(headers, length);
    if (!this.#writeHead()) return false;
    if (isClosed(this.#res) || this.#res.req.method === "HEAD") {
      cancel(this.#reader);
      this.#res.end();
      this.#settle();
      return false;
    }
    this.#res.on("close", this.#onGone).on("error", this.#onGone);
    if (this.#first !== undefined) this.#res.write(this.#first);
    return true;
  }

  #writeHead(): boolean {
    try {
      writeHead(this.#res, this.#message);
      return true;
    } catch (error) {
      cancel(this.#reader, error);
      this.#settle(error);
      return false;
    }
  }

  /** Writes a chunk, and reads the next one when the client has made room. */
  #write(chunk: Uint8Array): void {
    if (this.#res.write(chunk)) this.#read();
    else this.#res.once("drain", this.#read);
  }

  /** Ends the response. A body that has ended before the head was written is sent with its length. */
  #end(): void {
    if (this.#turn === undefined) this.#res.end();
    else {
      clearImmediate(this.#turn);
      try {
        sendWhole(this.#res, this.#message, this.#first ?? EMPTY);
      } catch (error) {
        return this.#settle(error);
      }
    }
    this.#settle();
  }

  /** Destroys the response, because the rest of its body cannot be sent. */
  readonly #fail = (error: unknown): void => {
    if (this.#isSettled) return;
    clearImmediate(this.#turn);
    cancel(this.#reader, error);
    this.#settle(new BodyError(error));
    this.#res.destroy(error instanceof Error ? error : undefined);
  };

  /** Stops when the client is gone. */
  readonly #onGone = (): void => {
    cancel(this.#reader);
    this.#settle();
  };

  #settle(error?: unknown): void {
    this.#isSettled = true;
    if (this.#turn === undefined) {
      this.#res.off("close", this.#onGone).off("error", this.#onGone).off("drain", this.#read);
    }
    this.#onSettled(error);
  }
}

const EMPTY = new Uint8Array();

/** Returns whether the client is gone, or the response has ended. */
function isClosed(res: Exchange["res"]): boolean {
  return "stream" in res ? res.stream.destroyed : res.destroyed;
}

/** Cancels a body that is no longer wanted. An error of its source at that is ignored. */
function cancel(body: Reader | ReadableStream<Uint8Array>, reason?: unknown): void {
  body.cancel(reason).catch(() => {});
}
