import type http from "node:http";
import type net from "node:net";
import process from "node:process";
import type { ConnState } from "../../core/conn.ts";
import { LINGER } from "../../server/linger.ts";
import { internals } from "./internals.ts";
import { sayCloseAtHead, sayCloseInHeldHead } from "./last_response.ts";
import { lingerOver } from "./linger.ts";
import type { Exchange, Protocol, Stream } from "./protocol.ts";

/**
 * The requests and responses of an HTTP/1 connection. The newest exchange determines the connection's
 * state.
 */
export class Http1Exchanges implements Protocol {
  /** The socket that requests come over. */
  #socket: net.Socket;
  /** Whether the bytes read from the socket are HTTP. With TLS this is true once the handshake is done. */
  #isHandshaken: boolean;
  readonly #onBegin: ((res: Exchange["res"]) => void) | undefined;
  /**
   * The newest response. In a pipeline it is the last response to end. The reference is weak, except on
   * Bun: the socket holds the response until its end, and a strong reference would keep the response and
   * its request alive on an idle connection.
   */
  #response: Held | undefined;
  /** Whether the newest request has a body. The value outlives the request. */
  #hasBody = false;
  /** The time at which the newest request arrived, on the clock of `performance.now()`. */
  #since = 0;
  /** The value of the socket's `bytesRead` when the newest request was announced. */
  #headEnd = 0;
  /** Whether a response has announced that it is the last response of the connection. */
  #closing = false;
  /** Whether another request has arrived after the request of the last response. */
  #isFollowed = false;
  /** Whether the connection has been told to end after its request in flight. */
  #isEnding = false;
  /** The time at which draining first found an upload that was answered before it was read. */
  #lingerStart: number | undefined;
  /** Whether the connection was found between two requests. */
  #isResting = false;

  /** Creates the exchanges of a connection that has had none yet. `onBegin` is called for each request. */
  constructor(
    socket: net.Socket,
    isSecure: boolean,
    onBegin: ((res: Exchange["res"]) => void) | undefined,
  ) {
    this.#socket = socket;
    this.#isHandshaken = !isSecure;
    this.#onBegin = onBegin;
  }

  /** Records that the TLS handshake is done, and over which socket the requests come. */
  handshaken(socket: net.Socket): void {
    this.#socket = socket;
    this.#isHandshaken = true;
  }

  state(): ConnState {
    if (this.#response === undefined && !this.#isResting) {
      return this.#isHandshaken && this.#hasReadOn ? "active" : "new";
    }
    const res = this.#response?.deref();
    if (this.#closing || res?.writableFinished === false) return "active";
    const req = res?.req ?? internals.newestRequest(this.#socket);
    if (req?.complete === false) return this.#isLingerOver ? "idle" : "active";
    // Bytes after a request without a body belong to the next request. After a body it is unknown to which
    // request the bytes belong. The connection then counts as idle, like every connection between two
    // requests in Go.
    return this.#hasReadOn && !this.#hasBody ? "active" : "idle";
  }

  get isMidHead(): boolean {
    if (this.#closing || this.oldest() !== undefined || this.state() !== "active") return false;
    const req = this.#response?.deref()?.req ?? internals.newestRequest(this.#socket);
    return req?.complete !== false;
  }

  /**
   * Whether bytes have arrived since the newest head, beyond the empty line that some clients send after a
   * request.
   */
  get #hasReadOn(): boolean {
    return this.#socket.bytesRead > this.#headEnd + EMPTY_LINE;
  }

  /**
   * Whether LINGER has passed for a client that was answered before its upload was read. Always false
   * before connections are told to end.
   */
  get #isLingerOver(): boolean {
    if (!this.#isEnding) return false;
    const now = performance.now();
    this.#lingerStart ??= now;
    return now - this.#lingerStart >= LINGER;
  }

  oldest(): Stream | undefined {
    const res = this.#response?.deref();
    if (res === undefined || res.writableFinished) return undefined;
    // The cast: routers like Express shorten `url` to the part below their mount path and keep
    // `originalUrl`.
    const { method, url, originalUrl = url } = res.req as typeof res.req & { originalUrl?: string };
    return { method, url: originalUrl, since: this.#since };
  }

  /** Returns whether a response is the newest response, and another response can follow. */
  isNewest(res: Exchange["res"]): boolean {
    return this.#response?.deref() === res && !this.#socket.destroyed &&
      !this.#socket.writableEnded;
  }

  /** Records that the connection was found with this response in flight, which is its newest response. */
  foundActive(res: Exchange["res"], since: number, nextHasBegun: boolean): void {
    this.#hold(res, since);
    if (nextHasBegun) this.#headEnd = 0;
  }

  /** Records that the connection was found between two requests. */
  foundIdle(): void {
    this.#isResting = true;
    // The rest of an upload that was answered early may follow.
    this.#hasBody = internals.newestRequest(this.#socket)?.complete === false;
    this.#headEnd = this.#socket.bytesRead;
  }

  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    // After "checkContinue" the owner of the server emits the same request a second time.
    if (this.#response?.deref() === res) return true;
    if (this.#closing) {
      this.#isFollowed = true;
      return false;
    }
    this.#hold(res, Math.trunc(performance.now()), req);
    if (onChange !== undefined) res.once("close", onChange);
    if (isLast) this.#endAfter(res);
    this.#onBegin?.(res);
    return true;
  }

  #hold(res: Exchange["res"], since: number, req: Exchange["req"] = res.req): void {
    this.#response = hold(res);
    this.#hasBody = hasBody(req);
    this.#since = since;
    this.#headEnd = this.#socket.bytesRead;
  }

  startLameDuck(): void {
    const res = this.#responseInFlight();
    if (res !== undefined) this.#endAfter(res);
  }

  startDrain(onChange: () => void): void {
    this.#responseInFlight()?.once("close", onChange);
  }

  startEnding(): void {
    this.#isEnding = true;
    this.startLameDuck();
  }

  #responseInFlight(): Exchange["res"] | undefined {
    const res = this.#response?.deref();
    return res?.writableFinished === false ? res : undefined;
  }

  /**
   * Must be called before a response is sent. Makes the response the last response of the connection if its
   * handler has canceled the upload.
   */
  sending(res: Exchange["res"]): void {
    const { destroyed, complete } = res.req;
    if (destroyed && !complete) this.#endAfter(res);
  }

  /**
   * Makes a response the last response of its connection, unless its head has already been sent without
   * saying so.
   */
  #endAfter(res: Exchange["res"]): void {
    if (this.#closing) return;
    // The cast: a connection without a session has HTTP/1 responses only.
    const response = res as http.ServerResponse;
    if (!res.headersSent) sayCloseAtHead(response);
    else if (!sayCloseInHeldHead(response)) return;
    this.#closing = true;
    lingerOver(this.#socket, response, () => this.#discardRest());
  }

  /**
   * Reads and discards the bytes that the client sends after its last request. Returns false, and does
   * nothing, if no such bytes have arrived.
   */
  #discardRest(): boolean {
    if (!this.#isFollowed && (this.#hasBody || !this.#hasReadOn)) return false;
    internals.newestRequest(this.#socket)?.resume();
    this.#socket.resume();
    return true;
  }

  closeIdle(): boolean {
    const isLeftToBun = this.state() === "idle" && internals.closeIfIdleOnBun(this.#socket);
    // Bun does not count a connection as idle if a part of the request body arrived after the response.
    return !isLeftToBun || (this.#hasBody && this.#isLingerOver);
  }

  destroy(): void {}
}

/** The length in bytes of the empty line that a server ignores before a request (RFC 9112, section 2.2). */
const EMPTY_LINE = 2;

const CONTENT_LENGTH = "content-length";
const TRANSFER_ENCODING = "transfer-encoding";

/** A reference to a response. Except on Bun, the reference does not keep the response alive. */
interface Held {
  deref(): Exchange["res"] | undefined;
}

/**
 * Returns a weak reference to a response; on Bun, whose sockets do not hold their response, a strong
 * reference.
 */
const hold: (res: Exchange["res"]) => Held = "bun" in process.versions
  ? (res) => ({ deref: () => res })
  : (res) => new WeakRef(res);

/**
 * Returns whether a request has a body. The function reads the raw headers, because Node builds the
 * `headers` object only on access.
 */
function hasBody({ rawHeaders }: Exchange["req"]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === CONTENT_LENGTH.length && name.toLowerCase() === CONTENT_LENGTH) {
      return Number(rawHeaders[i + 1]) > 0;
    }
    if (name.length === TRANSFER_ENCODING.length && name.toLowerCase() === TRANSFER_ENCODING) {
      return true;
    }
  }
  return false;
}
