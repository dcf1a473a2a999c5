import type http from "node:http";
import type net from "node:net";
import process from "node:process";
import type { ConnState } from "../../core/conn.ts";
import { LINGER } from "../../server/linger.ts";
import { internals } from "./internals.ts";
import { sayCloseAtHead, sayCloseInHeldHead } from "./last_response.ts";
import { lingerOver } from "./linger.ts";
import type { Exchange, Protocol, Stream } from "./protocol.ts";

/** The requests and responses of a connection with HTTP/1. Its state is read off the newest of them. */
export class Http1Exchanges implements Protocol {
  /** The socket that requests come over. */
  #socket: net.Socket;
  /** Whether what is read of the socket is HTTP: with TLS, from the end of the handshake. */
  #isHandshaken: boolean;
  readonly #onBegin: ((res: Exchange["res"]) => void) | undefined;
  /**
   * The newest response, which of a pipeline is the last to end. The socket holds it until then: held here,
   * an idle connection would keep it, and its request, for nothing.
   */
  #response: Held | undefined;
  /** Whether the newest request has a body, for when nobody holds the request any more. */
  #hasBody = false;
  /** When the newest request came. */
  #since = 0;
  /** `bytesRead` of the socket when the newest request was announced. */
  #headEnd = 0;
  /** Whether a response has said that it is the last one. */
  #closing = false;
  /** Whether another request has come behind that of the last response. */
  #isFollowed = false;
  #isEnding = false;
  /** When a drain first found an upload that was answered unread. */
  #lingerStart: number | undefined;
  /** Whether the connection was between two requests when it was found. */
  #isResting = false;

  /** `onBegin` is called for each request. */
  constructor(
    socket: net.Socket,
    isSecure: boolean,
    onBegin: ((res: Exchange["res"]) => void) | undefined,
  ) {
    this.#socket = socket;
    this.#isHandshaken = !isSecure;
    this.#onBegin = onBegin;
  }

  /** Takes the socket that speaks TLS over the accepted one. */
  handshaken(socket: net.Socket): void {
    this.#socket = socket;
    this.#isHandshaken = true;
  }

  state(): ConnState {
    if (this.#response === undefined) {
      if (this.#isResting && !this.#hasReadOn) return "idle";
      return this.#isHandshaken && this.#hasReadOn ? "active" : "new";
    }
    const res = this.#response.deref();
    if (this.#closing || res?.writableFinished === false) return "active";
    const req = res?.req ?? internals.newestRequest(this.#socket);
    if (req?.complete === false) return this.#isLingerOver ? "idle" : "active";
    // The bytes after a request without a body are the next one. After a body it is not known
    // whose they are, and the connection counts as idle, as any between two requests does in Go.
    return this.#hasReadOn && !this.#hasBody ? "active" : "idle";
  }

  /** Whether something has come since the newest head: more than the empty line that some send behind it. */
  get #hasReadOn(): boolean {
    return this.#socket.bytesRead > this.#headEnd + EMPTY_LINE;
  }

  /** Whether a client that was answered before its upload was read has had its time, in a drain. */
  get #isLingerOver(): boolean {
    if (!this.#isEnding) return false;
    const now = performance.now();
    this.#lingerStart ??= now;
    return now - this.#lingerStart >= LINGER;
  }

  oldest(): Stream | undefined {
    const res = this.#response?.deref();
    if (res === undefined || res.writableFinished) return undefined;
    // The cast: routers of the kind of Express shorten `url` to what is left below them, and keep this.
    const { method, url, originalUrl = url } = res.req as typeof res.req & { originalUrl?: string };
    return { method, url: originalUrl, since: this.#since };
  }

  /** Whether a response is the newest one, and a next one can follow. */
  isNewest(res: Exchange["res"]): boolean {
    return this.#response?.deref() === res && !this.#socket.destroyed &&
      !this.#socket.writableEnded;
  }

  /** To be called when the connection is found with this response in flight. */
  foundActive(res: Exchange["res"], since: number): void {
    this.#hold(res, since);
  }

  /** To be called when the connection is found between two requests. */
  foundIdle(): void {
    this.#isResting = true;
    this.#headEnd = this.#socket.bytesRead;
  }

  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    // The owner of the server announces a request again after "checkContinue".
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

  /** To be called when a response is sent: it is the last one if its handler has cancelled the upload. */
  sending(res: Exchange["res"]): void {
    const { destroyed, complete } = res.req;
    if (destroyed && !complete) this.#endAfter(res);
  }

  /** Makes this response the last one of its connection, if its head does not say otherwise yet. */
  #endAfter(res: Exchange["res"]): void {
    if (this.#closing) return;
    // The cast: of both kinds of response, one without a session is of HTTP/1.
    const response = res as http.ServerResponse;
    if (!res.headersSent) sayCloseAtHead(response);
    else if (!sayCloseInHeldHead(response)) return;
    this.#closing = true;
    lingerOver(this.#socket, response, () => this.#discardRest());
  }

  /** Has what the client sends behind its last request be read and dropped. False if nothing came. */
  #discardRest(): boolean {
    if (!this.#isFollowed && (this.#hasBody || !this.#hasReadOn)) return false;
    internals.newestRequest(this.#socket)?.resume();
    this.#socket.resume();
    return true;
  }

  closeIdle(): boolean {
    const isLeftToBun = this.state() === "idle" && internals.closeIfIdleOnBun(this.#socket);
    // Bun does not count a connection as idle if a part of the body came behind the answer.
    return !isLeftToBun || (this.#hasBody && this.#isLingerOver);
  }

  destroy(): void {}
}

/** The length in bytes of what is to be ignored before a request (RFC 9112, section 2.2). */
const EMPTY_LINE = 2;

const CONTENT_LENGTH = "content-length";
const TRANSFER_ENCODING = "transfer-encoding";

/** A reference that does not keep a response which nobody else needs. */
interface Held {
  deref(): Exchange["res"] | undefined;
}

/** Holds a response weakly; strongly on Bun, whose sockets do not hold it. */
const hold: (res: Exchange["res"]) => Held = "bun" in process.versions
  ? (res) => ({ deref: () => res })
  : (res) => new WeakRef(res);

/** Reads the raw headers: Node makes an object of headers only for those who ask. */
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
