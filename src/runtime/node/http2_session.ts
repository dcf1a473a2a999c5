import type http2 from "node:http2";
import type net from "node:net";
import type { ConnState } from "../../core/conn.ts";
import { LINGER } from "../../server/linger.ts";
import { GOAWAY_TIMEOUT } from "../../server/conn_table.ts";
import { sendGoawayNotice } from "./goaway_notice.ts";
import { isTls } from "./internals.ts";
import type { Exchange, Protocol, Stream } from "./protocol.ts";

/** How long a client may take to answer a PING before the final GOAWAY goes out without it, in ms. */
const ROUND_TRIP_TIMEOUT = 1_000;

/**
 * Where the runtime sends no first GOAWAY: how long a client has to have begun no stream for the only one
 * to be sent, in ms. One that begins a stream is sent it at once: its next stream is the furthest away then.
 */
const LULL = 20;

/** How far the drain has come when a session begins. */
export interface SessionDrain {
  readonly isDraining: boolean;
  /** Connections are told to end. */
  readonly isEnding: boolean;
}

/** An HTTP/2 session: its streams in flight, and its end in three steps. */
export class Http2Session implements Protocol {
  readonly #native: http2.ServerHttp2Session;
  readonly #accepted: net.Socket;
  /** The socket that the session reads and writes: with TLS not the accepted one. */
  readonly #socket: net.Socket;
  readonly #streams: Map<Stream, http2.ServerHttp2Stream> = new Map();
  /** When the newest stream began; 0 before the first. */
  #newest = 0;
  /** Whether the first stream may be on its way: GOAWAY would turn it away. */
  #awaitsStream: boolean;
  /** The session is to end. */
  #isEnding: boolean;
  /** The client has been told to begin no more streams. */
  #isTold = false;
  /** Until the final GOAWAY goes out, whatever else happens. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When a poll found the session idle for the first time since its last stream. */
  #idleSince: number | undefined;

  constructor(
    native: http2.ServerHttp2Session,
    accepted: net.Socket,
    socket: net.Socket,
    drain: SessionDrain,
  ) {
    this.#native = native;
    this.#accepted = accepted;
    this.#socket = socket;
    this.#awaitsStream = drain.isDraining;
    this.#isEnding = drain.isEnding;
  }

  state(): ConnState {
    if (this.#streams.size > 0) return "active";
    if (this.#awaitsStream) return "new";
    // Without TLS there is a session before the client has said anything.
    if (this.#newest === 0 && isSilent(this.#accepted)) return "new";
    // On Deno a stream is over once it is written, whenever that is sent.
    return this.#accepted.writableLength + this.#socket.writableLength > 0 ? "active" : "idle";
  }

  oldest(): Stream | undefined {
    const [oldest] = this.#streams.keys();
    return oldest;
  }

  begin(
    { method, url }: Exchange["req"],
    res: Exchange["res"],
    _isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    const since = Math.trunc(performance.now());
    // The cast: of both kinds of response, one with a session is of HTTP/2.
    const { stream } = res as http2.Http2ServerResponse;
    this.beginStream({ method, url, since }, stream, onChange);
    return true;
  }

  beginStream(
    stream: Stream,
    native: http2.ServerHttp2Stream,
    onChange: (() => void) | undefined,
  ): void {
    this.#newest = stream.since;
    this.#awaitsStream = false;
    this.#idleSince = undefined;
    this.#streams.set(stream, native);
    native.once("close", () => {
      this.#streams.delete(stream);
      onChange?.();
    });
    native.once("finish", () => {
      if (this.#isEnding) lingerOverStream(native);
    });
    // Once the others are known that have come with it.
    if (this.#isEnding && !this.#isTold) setImmediate(() => this.#endBehindStream());
  }

  /** Does nothing: each stream ends by itself. */
  sending(): void {}

  /** Does nothing: clients are sent GOAWAY when the listener is closed. */
  startLameDuck(): void {}

  /** To be called when the drain starts: one whose first stream may be on the way awaits it. */
  startDrain(): void {
    if (this.state() === "new") this.#awaitsStream = true;
  }

  /**
   * Starts to end the session: GOAWAY that refuses nothing, a round trip, GOAWAY that names the last stream
   * to be processed. The session closes behind its last stream.
   */
  startEnding(): void {
    this.#isEnding = true;
    for (const native of this.#streams.values()) {
      if (native.writableFinished) lingerOverStream(native);
    }
    if (this.state() === "new" || this.#tell()) return;
    // One that is idle is for the poll to close, which may have to leave it a while.
    if (this.#streams.size > 0) this.#closeIn(LULL);
  }

  #endBehindStream(): void {
    if (!this.#tell()) this.#close();
  }

  /** Sends the first GOAWAY and a PING, whose answer comes behind all that crossed that GOAWAY. */
  #tell(): boolean {
    if (this.#isTold || this.#native.closed) return true;
    if (!sendGoawayNotice(this.#native, this.#socket)) return false;
    this.#isTold = true;
    this.#closeIn(ROUND_TRIP_TIMEOUT);
    // Clients send the answer before streams that they have ready, and what came with it is not read yet.
    this.#native.ping(() => setImmediate(() => this.#close()));
    return true;
  }

  #closeIn(ms: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#close(), ms);
    this.#native.once("close", () => clearTimeout(this.#timer));
  }

  /** Sends the final GOAWAY: no stream begins any more. */
  #close(): void {
    clearTimeout(this.#timer);
    this.#isTold = true;
    this.#native.close();
  }

  /** Ends an idle session, and tells whether its client has had its time to end its side. */
  closeIdle(now: number): boolean {
    if (!this.#isTold) {
      const quiet = now - this.#newest;
      if (quiet < LULL) this.#closeIn(LULL - quiet);
      else this.#close();
    }
    this.#idleSince ??= now;
    return now - this.#idleSince >= GOAWAY_TIMEOUT;
  }

  destroy(): void {
    this.#native.destroy();
  }
}

/**
 * Gives the client of an upload that is answered some time to end its side, and then tells it that the rest
 * is not wanted (RFC 9113, section 8.1), as Go does at once.
 */
function lingerOverStream(stream: http2.ServerHttp2Stream): void {
  if (stream.endAfterHeaders || stream.readableEnded) return;
  const timer = setTimeout(() => {
    stream.close();
    // What has come of the upload and nobody reads would keep a stream of Node from closing.
    stream.resume();
  }, LINGER);
  stream.once("close", () => clearTimeout(timer));
}

/** Whether nothing has been read from a socket without TLS. On Bun it is not told of HTTP/2. */
function isSilent(socket: net.Socket): boolean {
  return socket.bytesRead === 0 && !isTls(socket);
}
