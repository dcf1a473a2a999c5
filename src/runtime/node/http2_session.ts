import type http2 from "node:http2";
import type net from "node:net";
import type { ConnState } from "../../core/conn.ts";
import { LINGER } from "../../server/linger.ts";
import { GOAWAY_TIMEOUT } from "../../server/conn_table.ts";
import { sendGoawayNotice } from "./goaway_notice.ts";
import { isTls } from "./internals.ts";
import type { Exchange, Protocol, Stream } from "./protocol.ts";

/**
 * The number of milliseconds that a client has to answer a PING before the final GOAWAY is sent without the
 * answer.
 */
const ROUND_TRIP_TIMEOUT = 1_000;

/**
 * The number of milliseconds without a new stream after which the only GOAWAY is sent on a runtime that
 * cannot send the first of two. A client that begins a stream is sent GOAWAY at once, because at that
 * moment its next stream is least likely to be on the way.
 */
const LULL = 20;

/** The number of milliseconds for which the received part of an answered upload may be left unread. */
const UNREAD = 5_000;

/** The number of milliseconds between two checks of an answered upload. */
const LOOK_INTERVAL = 1_000;

/** The number of milliseconds for which the rest of an answered upload is discarded. */
const MOST_DISCARD = 5_000;

/** The phase of the drain at the time when a session begins. */
export interface SessionDrain {
  /** Whether the server is draining. */
  readonly isDraining: boolean;
  /** Whether connections have been told to end. */
  readonly isEnding: boolean;
}

/** An HTTP/2 session on a connection. Tracks the streams in flight and ends the session in three steps. */
export class Http2Session implements Protocol {
  readonly #native: http2.ServerHttp2Session;
  readonly #accepted: net.Socket;
  /** The socket that the session reads and writes. With TLS this is not the accepted socket. */
  readonly #socket: net.Socket;
  readonly #streams: Map<Stream, http2.ServerHttp2Stream> = new Map();
  /** The time at which the newest stream began; 0 before the first stream. */
  #newest = 0;
  /** Whether the first stream may be on the way, which GOAWAY would reject. */
  #awaitsStream: boolean;
  /** Whether the session has been told to end. */
  #isEnding: boolean;
  /** Whether a GOAWAY, the first or the final one, has told the client to begin no more streams. */
  #hasSentGoaway = false;
  /** The timer after which the final GOAWAY is sent in any case. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time of the first poll since which every poll has found the session idle. */
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
    // Without TLS the session exists before the client has sent anything.
    if (this.#newest === 0 && isSilent(this.#accepted)) return "new";
    // On Deno a stream closes once its data is written, even if the data is not sent yet.
    return this.#accepted.writableLength + this.#socket.writableLength > 0 ? "active" : "idle";
  }

  /** Node does not show whether a part of a head has arrived. */
  readonly isMidHead = false;

  oldest(): Stream | undefined {
    const [oldest] = this.#streams.keys();
    return oldest;
  }

  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    _isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean {
    const { method, url } = req;
    const since = Math.trunc(performance.now());
    // The cast: a connection with a session has HTTP/2 responses only.
    const { stream } = res as http2.Http2ServerResponse;
    this.beginStream({ method, url, since }, stream, onChange);
    stream.once("finish", () => endUnread(stream, req));
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
    // Wait until the streams that arrived together with this stream are known.
    if (this.#isEnding && !this.#hasSentGoaway) setImmediate(() => this.#sendGoawayAfterStream());
  }

  /** Does nothing: each stream ends on its own. */
  sending(): void {}

  /** Does nothing: clients are sent GOAWAY when the listener is closed. */
  startLameDuck(): void {}

  /**
   * Prepares the session for draining. A session whose first stream may be on the way waits for the stream.
   */
  startDrain(): void {
    if (this.state() === "new") this.#awaitsStream = true;
  }

  /**
   * Starts to end the session in three steps: a GOAWAY that rejects no stream, a round trip, and a GOAWAY
   * that names the last stream to be processed. The session closes after its last stream.
   */
  startEnding(): void {
    this.#isEnding = true;
    for (const native of this.#streams.values()) {
      if (native.writableFinished) lingerOverStream(native);
    }
    if (this.state() === "new" || this.#sendFirstGoaway()) return;
    // The poll closes an idle session, and may have to leave the session open for a while.
    if (this.#streams.size > 0) this.#sendFinalGoawayIn(LULL);
  }

  /**
   * Sends GOAWAY after a stream has begun: the first GOAWAY if it can be sent, otherwise the final GOAWAY.
   */
  #sendGoawayAfterStream(): void {
    if (!this.#sendFirstGoaway()) this.#sendFinalGoaway();
  }

  /**
   * Sends the first GOAWAY and a PING, unless a GOAWAY was sent before or the session is closed. The answer
   * to the PING arrives after every stream that crossed the GOAWAY. Returns false if the first GOAWAY cannot
   * be sent on this runtime or at this time.
   */
  #sendFirstGoaway(): boolean {
    if (this.#hasSentGoaway || this.#native.closed) return true;
    if (!sendGoawayNotice(this.#native, this.#socket)) return false;
    this.#hasSentGoaway = true;
    this.#sendFinalGoawayIn(ROUND_TRIP_TIMEOUT);
    // Clients answer a PING before they send the streams that they have ready. Streams that arrived
    // together with the answer are not read yet, so wait one turn.
    this.#native.ping(() => setImmediate(() => this.#sendFinalGoaway()));
    return true;
  }

  /** Sends the final GOAWAY after a number of milliseconds, unless that is scheduled already. */
  #sendFinalGoawayIn(ms: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#sendFinalGoaway(), ms);
    this.#native.once("close", () => clearTimeout(this.#timer));
  }

  /** Sends the final GOAWAY, after which no stream begins. */
  #sendFinalGoaway(): void {
    clearTimeout(this.#timer);
    this.#hasSentGoaway = true;
    this.#native.close();
  }

  /**
   * Sends GOAWAY to an idle session. Returns whether the session has been idle for GOAWAY_TIMEOUT, and is
   * to be destroyed.
   */
  closeIdle(now: number): boolean {
    if (!this.#hasSentGoaway) {
      const quiet = now - this.#newest;
      if (quiet < LULL) this.#sendFinalGoawayIn(LULL - quiet);
      else this.#sendFinalGoaway();
    }
    this.#idleSince ??= now;
    return now - this.#idleSince >= GOAWAY_TIMEOUT;
  }

  destroy(): void {
    this.#native.destroy();
  }
}

/**
 * Ends an answered upload whose rest is not wanted: its handler has canceled the body, or has left the received part
 * unread for UNREAD milliseconds. Otherwise the stream would stay open, and with it the connection active. A handler
 * may go on reading after the response.
 */
function endUnread(stream: http2.ServerHttp2Stream, req: Exchange["req"]): void {
  if (hasEnded(stream)) return;
  let [unread, since] = [0, performance.now()];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    if (hasEnded(stream)) return;
    const now = performance.now();
    if (req.readableLength !== unread) [unread, since] = [req.readableLength, now];
    if (req.destroyed || (unread > 0 && now - since >= UNREAD)) return discard(stream);
    timer = setTimeout(look, LOOK_INTERVAL);
  };
  stream.once("close", () => clearTimeout(timer));
  // Wait a turn, so that the end of the response is sent before the reset.
  setImmediate(look);
}

/** Returns whether the client has ended its side of a stream, or the stream is closed. */
function hasEnded(stream: http2.ServerHttp2Stream): boolean {
  return stream.endAfterHeaders || stream.readableEnded || stream.destroyed;
}

/**
 * Discards the rest of an answered upload while it arrives, for MOST_DISCARD milliseconds at most, and then resets its
 * stream. An immediate reset would be cheaper, but Node's client would never get back the flow-control window of the
 * data that it then cannot send, and two large uploads would leave the session unusable.
 */
function discard(stream: http2.ServerHttp2Stream): void {
  // A request of the compatibility API pauses its stream when the request is destroyed, or has no room.
  stream.removeAllListeners("data");
  const start = performance.now();
  let last = start;
  stream.on("data", () => last = performance.now());
  const look = () => {
    const now = performance.now();
    if (now - last >= LINGER || now - start >= MOST_DISCARD) return reset(stream);
    timer = setTimeout(look, LINGER / 2);
  };
  let timer = setTimeout(look, LINGER / 2);
  stream.once("close", () => clearTimeout(timer));
  stream.resume();
}

/** Resets an answered stream because the rest of its upload is not wanted (RFC 9113, section 8.1). */
function reset(stream: http2.ServerHttp2Stream): void {
  stream.close();
  // In Node, a stream stays open as long as received data is unread. Resuming the stream does not help: the
  // stream is paused again when a request of the compatibility API has no room for the data, or when the
  // request was destroyed. All of the response has been sent by now, so nothing of it is lost.
  stream.destroy();
}

/**
 * Gives the client of an answered upload LINGER milliseconds to end its side of the stream, and then resets
 * the stream. Go resets such a stream at once.
 */
function lingerOverStream(stream: http2.ServerHttp2Stream): void {
  if (hasEnded(stream)) return;
  const timer = setTimeout(() => reset(stream), LINGER);
  stream.once("close", () => clearTimeout(timer));
}

/**
 * Returns whether nothing has been read from a socket without TLS. On Bun `bytesRead` does not count
 * HTTP/2.
 */
function isSilent(socket: net.Socket): boolean {
  return socket.bytesRead === 0 && !isTls(socket);
}
