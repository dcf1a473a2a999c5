import type http from "node:http";
import type http2 from "node:http2";
import type { ConnState } from "../../core/conn.ts";

/** A request and its response, as Node has them. */
export interface Exchange {
  req: http.IncomingMessage | http2.Http2ServerRequest;
  res: http.ServerResponse | http2.Http2ServerResponse;
}

/** A request in flight: what was asked for, and when. */
export interface Stream {
  readonly method: string | undefined;
  readonly url: string | undefined;
  /** On the clock of `performance.now()`. */
  readonly since: number;
}

/** What a connection speaks: `Http1Exchanges`, or `Http2Session` once the client has chosen HTTP/2. */
export interface Protocol {
  state(): ConnState;
  /** Returns the oldest request in flight. */
  oldest(): Stream | undefined;
  /**
   * Begins a request, which with `isLast` is the last one of its connection. `onChange` is called when its
   * response is over, if the server is draining. Returns false if the request came behind the last one, and
   * must not be processed.
   */
  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean;
  /** To be called when the handler has made a response, before that is sent. */
  sending(res: Exchange["res"]): void;
  startLameDuck(): void;
  startDrain(onChange: () => void): void;
  startEnding(): void;
  /** Starts to end an idle connection, and returns whether it is to be destroyed now. */
  closeIdle(now: number): boolean;
  /** Ends what the protocol keeps beside the socket. */
  destroy(): void;
}
