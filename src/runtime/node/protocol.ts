import type http from "node:http";
import type http2 from "node:http2";
import type { ConnState } from "../../core/conn.ts";

/** A request and its response, as objects of Node's modules. */
export interface Exchange {
  req: http.IncomingMessage | http2.Http2ServerRequest;
  res: http.ServerResponse | http2.Http2ServerResponse;
}

/** A request in flight. */
export interface Stream {
  readonly method: string | undefined;
  readonly url: string | undefined;
  /** The time at which the request arrived, on the clock of `performance.now()`. */
  readonly since: number;
}

/** The protocol of a connection: `Http1Exchanges`, or `Http2Session` once the client has chosen HTTP/2. */
export interface Protocol {
  /** Returns the state of the connection. */
  state(): ConnState;
  /** Whether a part of the head of a request has arrived. */
  readonly isMidHead: boolean;
  /** Returns the oldest request in flight, or undefined if there is none. */
  oldest(): Stream | undefined;
  /**
   * Records that a request has arrived. With `isLast` it is the last request of its connection. `onChange`
   * is given while the server is draining, and is called when the response has ended. Returns false if the
   * request follows the last request and must not be processed.
   */
  begin(
    req: Exchange["req"],
    res: Exchange["res"],
    isLast: boolean,
    onChange: (() => void) | undefined,
  ): boolean;
  /** Must be called when the handler has returned a response, before the response is sent. */
  sending(res: Exchange["res"]): void;
  /**
   * Prepares the connection for the lame-duck phase: with HTTP/1, the request in flight becomes its last
   * request.
   */
  startLameDuck(): void;
  /**
   * Prepares the connection for draining. `onChange` is called when an HTTP/1 response in flight has ended.
   */
  startDrain(onChange: () => void): void;
  /** Starts to end the connection after its requests in flight. */
  startEnding(): void;
  /** Starts to end an idle connection, and returns whether the connection must be destroyed now. */
  closeIdle(now: number): boolean;
  /** Releases the resources that the protocol holds in addition to the socket. */
  destroy(): void;
}
