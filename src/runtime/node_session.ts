import type http2 from "node:http2";
import { type ConnState, GOAWAY_TIMEOUT } from "../conn.ts";

/** A stream of HTTP/2: what was asked for, and when. */
export interface Stream {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly since: number;
}

/** A session of HTTP/2 over one connection, and its streams in flight. */
export class NodeSession {
  /** It has had a stream. */
  hasBegun = false;
  readonly #native: http2.ServerHttp2Session;
  readonly #streams: Set<Stream> = new Set();
  /** Its first stream is on the way, and GOAWAY would turn that away. */
  #awaitsStream: boolean;
  /** When a poll found it idle, and those after that as well. */
  #idleSince: number | undefined;

  constructor(native: http2.ServerHttp2Session, isDraining: boolean) {
    this.#native = native;
    this.#awaitsStream = isDraining;
  }

  state(): ConnState {
    if (this.#streams.size > 0) return "active";
    return this.#awaitsStream ? "new" : "idle";
  }

  /** The oldest stream in flight. */
  get oldest(): Stream | undefined {
    const [oldest] = this.#streams;
    return oldest;
  }

  begin(
    stream: Stream,
    native: Pick<http2.ServerHttp2Stream, "once">,
    onChange: (() => void) | undefined,
  ): void {
    this.hasBegun = true;
    this.#awaitsStream = false;
    this.#idleSince = undefined;
    this.#streams.add(stream);
    native.once("close", () => {
      this.#streams.delete(stream);
      onChange?.();
    });
  }

  /** Its first stream is known to be on the way. */
  awaitStream(): void {
    this.#awaitsStream = true;
  }

  /** Sends GOAWAY: no stream begins any more. */
  close(): void {
    this.#native.close();
  }

  /** The same of one that is idle; tells whether its client has had its time to end its side. */
  closeIdle(now: number): boolean {
    this.close();
    this.#idleSince ??= now;
    return now - this.#idleSince >= GOAWAY_TIMEOUT;
  }

  destroy(): void {
    this.#native.destroy();
  }
}
