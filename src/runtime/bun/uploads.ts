import type { BunFlight } from "./flights.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { keyOf } from "../../core/addr.ts";

/** The number of recorded connections at which {@linkcode UnreadUploads} first removes closed ones. */
const SWEEP_AT = 1_024;

/**
 * The connections on which a request was answered before its upload was read. Bun receives the rest of the
 * upload afterwards, and does not count the connection as idle until its next request is answered.
 */
export class UnreadUploads {
  #conns = new Set<string>();
  /** The requests whose handler has read the property `body`. */
  readonly #streamed = new WeakSet<Request>();
  readonly #watchedBody = watchedBody((request) => this.#streamed.add(request));
  #sweepAt = SWEEP_AT;

  get isEmpty(): boolean {
    return this.#conns.size === 0;
  }

  /**
   * Starts to watch whether the handler reads the property `body` of a request. Bun does not show whether a
   * used body was cancelled; a handler that never reads the property cannot have cancelled the body. Reading
   * the property after the response would create a stream.
   */
  begin(request: Request): void {
    if (mayHaveBody(request)) Object.defineProperty(request, "body", this.#watchedBody);
  }

  /** Records the connection of an answered request whose upload may be unread. `open` lists connections. */
  answered(info: BunFlight, open: () => readonly KernelConn[]): void {
    const { request } = info;
    if (!mayHaveBody(request)) return;
    if (request.bodyUsed && !this.#streamed.has(request)) return;
    const { remoteAddr } = info;
    // The connections on a unix socket have no addresses that tell them apart.
    if (remoteAddr.transport === "unix") return;
    this.#conns.add(keyOf(remoteAddr));
    if (this.#conns.size >= this.#sweepAt) this.#sweep(open());
  }

  has({ remoteAddr }: KernelConn): boolean {
    return this.#conns.has(keyOf(remoteAddr));
  }

  #sweep(open: readonly KernelConn[]): void {
    this.#conns = this.#conns.intersection(
      new Set(open.map(({ remoteAddr }) => keyOf(remoteAddr))),
    );
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#conns.size);
  }
}

function mayHaveBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** Creates a property `body` that calls `onUse` and then returns the request's original `body`. */
function watchedBody(onUse: (request: Request) => void): PropertyDescriptor {
  const bodyOf = Object.getOwnPropertyDescriptor(Request.prototype, "body")?.get;
  return {
    configurable: true,
    get(this: Request): ReadableStream | null {
      onUse(this);
      return bodyOf?.call(this) ?? null;
    },
  };
}
